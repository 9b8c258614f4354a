"""Scorer: the rolling score of every declared segment, exact to the second.

Takes     feedback.responses.v1, loyalty.customers.v1 (a customer's tier is a segment), feedback.erasures.v1.
Owns      schema scorer: answers, day buckets, counted hours, published scores, ledger of the erased.
Emits     feedback.scores.v1; the scores API.
Promises  every answer is counted exactly once; any order of the same events ends in the same numbers.
"""
