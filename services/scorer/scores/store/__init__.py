"""The SQL of scores: rolling counts, hours counted once they are over, and the table of what is published."""
