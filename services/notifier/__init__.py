"""Notifier: every unhappy customer becomes a case in front of a person, with a clock on it.

Takes     feedback.responses.v1, loyalty.customers.v1, feedback.scores.v1,
          feedback.erasures.v1.
Owns      schema notifier: answers, customers (tier and tags), cases with their history, deliveries,
          notices, samples of scores, saved views, ledger of the erased.
Emits     feedback.cases.v1 (opened, changed, closed); alerts as signed webhooks, Slack messages and
          e-mail; the API of cases, channels and the report; the inbox.
Promises  one open case for one unhappy customer (the unique index `cases_one_live`);
          one delivery for (case, reason, channel) (`deliveries_once`), sent at least once under one id;
          the order in which the revisions of an answer arrive does not matter.
"""
