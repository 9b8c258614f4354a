"""API keys in the database. A key is shown once, when it is made, and stored as a hash."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import text

from shared.access.scopes import Scope
from shared.db import Session

Kind = Literal["secret", "public"]

_PREFIX: dict[str, Kind] = {"sec": "secret", "pub": "public"}
_TOKEN = re.compile(r"(sec|pub)_([a-z0-9]{12})_([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key as it is stored; `digest` is the HMAC-SHA256 of its secret part."""

    key_id: str
    store: str
    kind: Kind
    scopes: frozenset[str]
    digest: bytes
    name: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


def parse(token: str) -> tuple[Kind, str, str] | None:
    """(kind, key id, secret part) of `sec_…` or `pub_…`, or None for anything else."""
    match = _TOKEN.fullmatch(token)
    return (_PREFIX[match[1]], match[2], match[3]) if match else None


def digest(secret: str, pepper: bytes) -> bytes:
    return hmac.digest(pepper, secret.encode(), hashlib.sha256)


async def create(
    session: Session,
    *,
    store: str,
    kind: Kind,
    scopes: Iterable[str] = (),
    name: str = "",
    pepper: bytes,
    expires_at: datetime | None = None,
) -> str:
    """Make a key and return its token, which cannot be shown again.

    Raises ValueError for an unknown scope, or scopes on a public key.
    """
    scope_names = sorted({Scope(scope).value for scope in scopes})
    if kind == "public" and scope_names:
        raise ValueError("a public key has no scopes: it may only submit answers")
    prefix = next(prefix for prefix, its_kind in _PREFIX.items() if its_kind == kind)
    key_id = "".join(secrets.choice("abcdefghijklmnopqrstuvwxyz0123456789") for _ in range(12))
    secret = secrets.token_urlsafe(32)
    await session.execute(
        text("""INSERT INTO access.keys (key_id, store, kind, scopes, digest, name, expires_at)
                VALUES (:key_id, :store, :kind, :scopes, :digest, :name, :expires_at)"""),
        {
            "key_id": key_id,
            "store": store,
            "kind": kind,
            "scopes": scope_names,
            "digest": digest(secret, pepper),
            "name": name,
            "expires_at": expires_at,
        },
    )
    return f"{prefix}_{key_id}_{secret}"


async def revoke(session: Session, key_id: str) -> bool:
    """Revoke a key for good; False when there is no such key or it was revoked before.

    Every service refuses it within 5 s.
    """
    revoked = await session.execute(
        text("UPDATE access.keys SET revoked_at = now() WHERE key_id = :id AND revoked_at IS NULL"),
        {"id": key_id},
    )
    return revoked.rowcount == 1


async def all_keys(session: Session, store: str | None = None) -> list[StoredKey]:
    """Every key, or every key of one store, newest first."""
    rows = await session.execute(
        text("""SELECT key_id, store, kind, scopes, digest, name, created_at, expires_at, revoked_at,
                       last_used_at
                FROM access.keys WHERE CAST(:store AS text) IS NULL OR store = :store
                ORDER BY created_at DESC, key_id"""),
        {"store": store},
    )
    return [
        StoredKey(
            r.key_id,
            r.store,
            r.kind,
            frozenset(r.scopes),
            r.digest,
            r.name,
            r.created_at,
            r.expires_at,
            r.revoked_at,
            r.last_used_at,
        )
        for r in rows
    ]


async def note_use(session: Session, used: Sequence[tuple[str, datetime]]) -> None:
    """Store when keys were last used. Several services do so at once, so the latest time wins."""
    await session.execute(
        text("""UPDATE access.keys k SET last_used_at = u.at
                FROM (SELECT * FROM unnest(CAST(:ids AS text[]), CAST(:ats AS timestamptz[])) AS x(id, at)
                      ORDER BY 1) u
                WHERE k.key_id = u.id AND (k.last_used_at IS NULL OR k.last_used_at < u.at)"""),
        {"ids": [key_id for key_id, _ in used], "ats": [at for _, at in used]},
    )
