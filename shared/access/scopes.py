"""The scopes of secret keys."""

from enum import StrEnum


class Scope(StrEnum):
    """What a secret key may do. A public key has no scope: it may only submit, from its store's origins."""

    RESPONSES_WRITE = "responses:write"
    SCORES_READ = "scores:read"
    CUSTOMERS_READ = "customers:read"
    CASES_READ = "cases:read"
    CASES_WRITE = "cases:write"
    ADMIN = "admin"
