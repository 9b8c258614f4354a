"""Where every answer counts, and the day buckets that hold the counts: the hot path."""
