"""Signed links with which somebody sets a password: an invitation, or a reset."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from itsdangerous import BadSignature, URLSafeTimedSerializer

from shared.access.users import Account
from shared.config.secrets import Secrets

Purpose = Literal["invite", "reset"]

LIFE: dict[Purpose, timedelta] = {"invite": timedelta(days=7), "reset": timedelta(days=1)}


@dataclass(frozen=True, slots=True)
class Claim:
    """The content of a link that we signed and that is not too old."""

    user_id: int
    password_version: int

    def opens(self, account: Account) -> bool:
        """Whether the link may still set the account's password.

        False once a password was set after the link was made, in whatever way, or the account was closed.
        """
        return (
            account.active
            and account.user_id == self.user_id
            and account.password_version == self.password_version
        )


class Links:
    """Makes and reads links. A link holds an account's id and the version of its password.

    So each link works once, and none is stored.
    """

    def __init__(self, secrets: Secrets) -> None:
        key = secrets.derive("people-links")
        self._signers = {purpose: URLSafeTimedSerializer(key, salt=purpose) for purpose in LIFE}

    def token(self, purpose: Purpose, account: Account) -> str:
        """The part of a link that `claim` reads."""
        return str(self._signers[purpose].dumps([account.user_id, account.password_version]))

    def claim(self, purpose: Purpose, token: str) -> Claim | None:
        """Read a token; None for one that is forged, cut short or too old."""
        try:
            content = self._signers[purpose].loads(token, max_age=int(LIFE[purpose].total_seconds()))
        except BadSignature:
            return None
        return Claim(*content)
