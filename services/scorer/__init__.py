"""Takes: responses, and customers for their tier.
Owns: schema `scorer` (answers, day buckets, counted hours, published scores).
Emits: feedback.scores.v1; the scores API.
Promises: each answer is counted exactly once, and any order of the same events ends in the same numbers.
"""
