"""The SQL of counting: answers, respondents with their tiers, series, and the day buckets."""
