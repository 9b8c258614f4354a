"""Who may do what: the keys of programs and the accounts of people. Owner of the schema `access`."""

from shared.access.keyring import Key, Keyring, KeysUnavailable
from shared.access.scopes import Scope

__all__ = ["Key", "Keyring", "KeysUnavailable", "Scope"]
