"""Customers as others see them: the API, and the events that say who has which tier and tags."""
