"""Orders and engagements: what happened to an order, and what a customer did beside buying."""
