"""What the product needs to hold before its services start: topics, schemas, a demo store's keys and user."""

import asyncio
import secrets

from deploy.local import health
from deploy.local.demo_file import Credentials
from deploy.local.errors import LocalStackError
from shared.access import keys, scopes, users
from shared.config.secrets import Secrets
from shared.db import Database, Session, migrations
from shared.kafka import topics

STORE = "demo"
USER = "demo@closeloop.example"

PEOPLE = (
    ("ines@closeloop.example", "Ines Moreau", "manager"),
    ("kim@closeloop.example", "Kim Visser", "agent"),
    ("lee@closeloop.example", "Lee Jansen", "agent"),
)
"""The team of the shipped `closeloop.yaml` and its manager; all with the administrator's password."""


async def prepare(
    *, kafka_bootstrap: str, database_url: str, root_secret: str, known: Credentials | None
) -> Credentials:
    """Topics, every schema at head, and the credentials: the known ones while the database still has them."""
    await _require_answers(kafka_bootstrap, database_url)
    await topics.ensure(kafka_bootstrap)
    for package in migrations.PACKAGES:
        await migrations.migrate(database_url, package)
    database = Database(database_url, pool_size=1)
    try:
        async with database.transaction() as session:
            credentials = await _credentials(session, Secrets(root_secret).pepper, known)
            for email, name, role in ((credentials.user, "Demo Admin", "admin"), *PEOPLE):
                await users.ensure(
                    session, email=email, password=credentials.password, store=STORE, role=role, name=name
                )
    finally:
        await database.close()
    return credentials


async def _require_answers(kafka_bootstrap: str, database_url: str) -> None:
    # The embedded ones answer by now; these two are for addresses that the environment gave.
    if not (await asyncio.to_thread(health.kafka, kafka_bootstrap)).healthy:
        raise LocalStackError(
            f"No Kafka answers at {kafka_bootstrap}",
            remedy="Start it, or unset KAFKA_BOOTSTRAP_SERVERS to use the embedded one.",
        )
    database = await health.postgres(database_url)
    if not database.healthy:
        raise LocalStackError(
            f"PostgreSQL does not answer: {database.detail['error']}",
            remedy="Check DATABASE_URL, or unset it to use the embedded one.",
        )


async def _credentials(session: Session, pepper: bytes, known: Credentials | None) -> Credentials:
    if known is not None and await _still_open(session, pepper, known):
        return known
    return Credentials(
        store=STORE,
        public_key=await keys.create(session, store=STORE, kind="public", name="demo browser", pepper=pepper),
        secret_key=await keys.create(
            session, store=STORE, kind="secret", scopes=list(scopes.Scope), name="demo server", pepper=pepper
        ),
        user=USER,
        password=known.password if known else secrets.token_urlsafe(9),
    )


async def _still_open(session: Session, pepper: bytes, known: Credentials) -> bool:
    """Whether both keys would still be accepted: the database may be another one, or the secret new."""
    stored = {key.key_id: key for key in await keys.all_keys(session, STORE) if key.revoked_at is None}
    for token in (known.public_key, known.secret_key):
        parts = keys.parse(token)
        key = stored.get(parts[1]) if parts else None
        if parts is None or key is None or key.digest != keys.digest(parts[2], pepper):
            return False
    return True
