"""All SQL of the scorer. The hot path: `respondents`, `answers`, `writing`, `buckets`; and `series`, `hours`,
`tiers`, `scores` (reading), `published`, `erasing`, `audit`."""
