"""What a secret key may be allowed."""

from enum import StrEnum


class Scope(StrEnum):
    """A public key has none of these: it may only submit, from its store's origins."""

    RESPONSES_WRITE = "responses:write"
    SCORES_READ = "scores:read"
    CUSTOMERS_READ = "customers:read"
    CASES_READ = "cases:read"
    CASES_WRITE = "cases:write"
    ADMIN = "admin"
