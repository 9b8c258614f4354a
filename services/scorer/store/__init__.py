"""All SQL of the scorer: `answers` (the hot path), `series`, `scores` (reading), `hours`, `tiers`,
`published`, `audit`."""
