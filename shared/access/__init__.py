"""Who may do what: the keys of programs and the accounts of people. Owner of the schema `access`."""

from shared.access.cache import AccessUnavailable
from shared.access.keyring import Key, Keyring
from shared.access.people import Member, Person
from shared.access.roles import Role
from shared.access.scopes import Scope

__all__ = ["AccessUnavailable", "Key", "Keyring", "Member", "Person", "Role", "Scope"]
