"""What the clock starts: rounds under a lease, the ageing of rows, and gauges read from the database."""
