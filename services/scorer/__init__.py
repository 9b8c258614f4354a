"""Takes: responses, customers for their tier, and erasures.
Owns: schema `scorer` (answers, day buckets, counted hours, published scores, ledger of the erased).
Emits: feedback.scores.v1; the scores API.
Promises: each answer is counted exactly once, and any order of the same events ends in the same numbers.
"""
