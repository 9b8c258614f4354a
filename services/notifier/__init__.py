"""Notifier: every unhappy customer becomes a case in front of a person, with a clock on it.

Takes     feedback.responses.v1, loyalty.customers.v1, feedback.scores.v1, feedback.erasures.v1.
Owns      schema notifier: answers, customers (tier and tags), cases, deliveries, history, samples of scores,
          ledger of the erased.
Emits     feedback.cases.v1 (opened, changed, closed); signed webhooks, messages and mail; the cases API.
Promises  one open case for one unhappy customer, and one delivery for (case, reason, channel), sent at
          least once under one id; the order in which the revisions of an answer arrive does not matter.
"""
