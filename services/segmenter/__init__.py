"""Segmenter: who a customer is to the store, and what that entitles them to.

Takes     feedback.responses.v1, commerce.orders.v1, feedback.cases.v1 (opened, closed), feedback.erasures.v1.
Owns      schema segmenter: customers, facts, tier history, ledger of the erased.
Emits     loyalty.customers.v1 (on a change of tier or tags); the customers API.
Promises  a tier is a fold of the stored facts by event time: any order of arrival ends in the same tier;
          of an erased customer only numbers remain.
"""
