"""HTTP in and out: customers with the reason of their tier, the tiers, and the override by hand."""
