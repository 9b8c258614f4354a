"""What operators ask of the segmenter through `closeloop`: the only door of this service for `cli/`.

Fold everybody again, look whether that would change anything, publish again, check the section `loyalty`,
and the handlers for a replay.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from services.segmenter.customers import store as customer_store
from services.segmenter.facts import store as fact_store
from services.segmenter.facts.store import CustomerKey
from services.segmenter.handlers import handlers
from services.segmenter.tiers import store as tier_store
from services.segmenter.tiers.domain.ruling import RulesByStore, judge
from services.segmenter.tiers.folding import Clock, refold_pages, utc_now
from services.segmenter.tiers.settings import Loyalty, loyalty_rules
from shared.config import Config, ConfigError
from shared.config.loading import Mistake
from shared.config.secrets import Secrets
from shared.db import Database
from shared.events import Event
from shared.kafka import Handler

_PAGE = 500


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """How many customers were folded, and how many of them changed."""

    seen: int
    changed: int


def read_rules(config: Config) -> RulesByStore:
    """The rules of every store, for `rebuild` and `verify`. Raises ConfigError with every mistake."""
    return loyalty_rules(config)


async def rebuild(
    database: Database,
    rules_by_store: RulesByStore,
    store: str | None = None,
    *,
    clock: Clock = utc_now,
    progress: Callable[[int], None] = lambda seen: None,
) -> Rebuilt:
    """Fold every customer of a store, or of all, from the stored facts. Harmless twice and in traffic."""
    seen = changed = 0
    for name in [store] if store is not None else rules_by_store:
        async for page_seen, page_changed in refold_pages(database, rules_by_store, name, clock):
            seen, changed = seen + page_seen, changed + page_changed
            progress(seen)
    return Rebuilt(seen, changed)


async def verify(
    database: Database, rules_by_store: RulesByStore, store: str | None = None
) -> list[CustomerKey]:
    """Customers whose stored ruling is not the fold of their facts at the same instant; should be none."""
    wrong: list[CustomerKey] = []
    for name in [store] if store is not None else rules_by_store:
        after = ""
        while True:
            async with database.snapshot() as session:
                keys = await tier_store.page_of_customers(session, name, after=after, limit=_PAGE)
                rows = await tier_store.read_customers(session, keys)
                records = await fact_store.facts_of_customers(session, keys)
            if not keys:
                break
            for row in rows:
                _, ruling = judge(records[row.key], rules_by_store[name], row.folded_at)
                if row.ruling != ruling:
                    wrong.append(row.key)
            after = keys[-1].ref
    return wrong


async def republish(database: Database, store: str | None, *, batch: int = 5000) -> int:
    """Mark every customer, so that the publisher of a running segmenter sends it again; returns how many.

    Each keeps its `seq`, so consumers that know the state ignore it.
    """
    marked, after = 0, customer_store.START
    while True:
        async with database.transaction() as session:
            keys = await customer_store.mark_unpublished(session, store, after, batch)
        if not keys:
            return marked
        marked, after = marked + len(keys), keys[-1]


async def count_unpublished(database: Database, store: str | None) -> int:
    """How many customers were not sent yet."""
    async with database.snapshot() as session:
        return await customer_store.count_unpublished(session, store)


def section_mistakes(config: Config, store: str) -> list[Mistake]:
    """What the segmenter would refuse at its start in the section `loyalty` of this store."""
    try:
        config.section(store, "loyalty", Loyalty)
    except ConfigError as error:
        return list(error.mistakes)
    return []


def section_summary(config: Config, store: str) -> dict[str, list[str]]:
    """What the section declares, by names, for people. The section has no mistakes."""
    return {"tiers": [tier.name for tier in config.section(store, "loyalty", Loyalty).tiers]}


def replay_handlers(config: Config, secrets: Secrets) -> Mapping[type[Event], Handler]:
    """The handlers alone, as `closeloop dead replay` uses them. Raises ConfigError."""
    return handlers(loyalty_rules(config), utc_now, secrets.customers)
