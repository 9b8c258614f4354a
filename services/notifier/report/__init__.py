"""The report: what was opened and closed, how fast, how it ended, and what comes back."""
