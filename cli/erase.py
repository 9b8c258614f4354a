"""`closeloop erase`: forget a person in every service, and prove it."""

import asyncio
import json
import time
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import typer
from rich.console import Console

from cli import CommandError, product
from cli.progress import ReportProgress, progress
from shared.db import Database
from shared.db.erasures import Erasures
from shared.db.residue import ColumnMatches, search
from shared.events import encode, new_id
from shared.events.erasures import CustomerErased
from shared.events.topics import CASES, ERASURES, ORDERS, RESPONSES
from shared.feedback.identity import customer_refs, spellings
from shared.kafka import NotAcknowledged, Producer

SERVICES = ("scorer", "segmenter", "notifier")
SCHEMAS = ("collector", *SERVICES)
STATEMENT_TIMEOUT_SECONDS = 600
_LOOK_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Person:
    """Whom to erase. `ids`: the id that was given, and those that the store gave together with the
    address."""

    store: str
    email: str
    ids: tuple[str, ...]

    @property
    def words(self) -> list[str]:
        """Texts that name the person in a row; an id only where it stands as the value of `id`."""
        quoted = [json.dumps(customer_id, ensure_ascii=False) for customer_id in self.ids]
        pairs = [f'"id":{space}{customer_id}' for customer_id in quoted for space in ("", " ")]
        return [*pairs, *(spellings(self.email) if self.email else ())]


@dataclass(slots=True)
class ErasureCheck:
    """How far an erasure is. `waits`: services whose ledger lacks it; `left`: columns that still name the
    person."""

    waits: list[str] = field(default_factory=lambda: list(SERVICES))
    left: list[ColumnMatches] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        return not self.waits and not self.left


def erase(
    *,
    store: str = typer.Option(..., "--store", help="The store whose customer it is."),
    customer_id: str = typer.Option("", "--customer-id", help="As the store calls the customer."),
    email: str = typer.Option("", "--email", help="Also finds the ids that the store gave with it."),
    wait: bool = typer.Option(
        False, "--wait", help="Until every service is done, and look for what is left."
    ),
    timeout: float = typer.Option(120, min=1, help="With --wait: at most so many seconds."),
    as_json: bool = typer.Option(False, "--json", help="What was done, as JSON."),
) -> None:
    """Forget a person: what was received until now loses everything personal, and scores keep their counts.

    It cannot be undone, and is harmless twice. With --wait the exit code is 1 unless every service has it in
    its ledger and no column of any table names the person.
    """
    product.require_store(store)
    if not customer_id.strip() and not email.strip():
        raise CommandError("Nobody is named", remedy="Give --customer-id, --email or both.")
    if email.strip() and "@" not in email:
        raise CommandError("The e-mail address has no @", remedy="Give it as the store sent it.")
    with progress(quiet=as_json) as report_progress:
        person = Person(store, email.strip(), (customer_id,) if customer_id.strip() else ())
        event, check = product.run(_erase(person, timeout if wait else 0.0, report_progress))
    if as_json:
        typer.echo(json.dumps(_as_json(event, check if wait else None), indent=2))
    else:
        _print(event, check if wait else None)
    if wait and not check.complete:
        raise CommandError(
            f"The erasure is not complete after {timeout:.0f} s",
            remedy="Is a service down or behind? `closeloop doctor`. What came since the erasure is somebody "
            "new's: docs/erasure.md.",
        )


async def _erase(
    person: Person, seconds: float, report_progress: ReportProgress
) -> tuple[CustomerErased, ErasureCheck]:
    secret, store = product.secrets().customers, person.store
    async with product.database(statement_timeout_seconds=STATEMENT_TIMEOUT_SECONDS) as database:
        if person.email:
            known = await _ids_of(database, store, person.email)
            person = replace(person, ids=tuple(dict.fromkeys([*person.ids, *known])))
        refs = [ref for name in person.ids for ref in customer_refs(secret, store, customer_id=name)]
        refs += customer_refs(secret, store, email=person.email)
        first, *also = refs
        event = CustomerErased(
            store=store,
            customer_ref=first,
            also=tuple(also),
            erased_at=datetime.now(UTC),
            erasure_id=new_id(),
        )
        await _send(event)
        return event, await _check_until_done(
            database, event, person, seconds, report_progress
        ) if seconds else ErasureCheck()


async def _ids_of(database: Database, store: str, email: str) -> list[str]:
    """The customers that the store has named with this address."""
    async with database.transaction() as session:
        return await Erasures("segmenter").ids_with(session, store, email)


async def _send(event: CustomerErased) -> None:
    producer = Producer(product.kafka_bootstrap())
    try:
        await producer.start((ERASURES.name,))
        key, body, headers = encode(event, source="/cli")
        await producer.send(event.topic.name, key, body, headers)
    except NotAcknowledged as error:
        raise CommandError(
            "Kafka did not confirm the erasure", remedy="Run it again: it is harmless twice."
        ) from error
    finally:
        await producer.stop(2)


async def _check_until_done(
    database: Database, event: CustomerErased, person: Person, seconds: float, report_progress: ReportProgress
) -> ErasureCheck:
    """Check the ledgers and all tables again and again, until the erasure is complete or the time is over."""
    words = [*event.refs, *person.words]
    deadline = time.monotonic() + seconds
    while True:
        check = ErasureCheck(waits=[], left=[])
        for name in SERVICES:
            async with database.transaction() as session:
                keys = {(event.store, ref) for ref in event.refs}
                ledger = await Erasures(name).of(session, keys)
            if any(ledger.get(key, datetime.min.replace(tzinfo=UTC)) < event.erased_at for key in keys):
                check.waits.append(name)
        report_progress("services", len(SERVICES) - len(check.waits), len(SERVICES))
        if not check.waits:
            for name in SCHEMAS:
                async with database.transaction() as session:
                    check.left += await search(session, name, words, store=person.store)
                    for customer_id in person.ids:
                        by_id = {"customer_id": customer_id}
                        check.left += await search(session, name, [], store=person.store, columns=by_id)
        if check.complete or time.monotonic() > deadline:
            return check
        await asyncio.sleep(_LOOK_SECONDS)


def _ages_out(event: CustomerErased) -> dict[str, str]:
    """By topic, until when it may hold what was sent: a topic keeps a segment a day longer than its
    records."""
    topics = (RESPONSES, ORDERS, CASES, ERASURES)
    return {
        topic.name: (event.erased_at + timedelta(days=(topic.kept_days or 0) + 1)).isoformat()
        for topic in topics
    }


def _as_json(event: CustomerErased, check: ErasureCheck | None) -> dict[str, Any]:
    content: dict[str, Any] = {
        "erasure_id": event.erasure_id,
        "store": event.store,
        "refs": list(event.refs),
        "erased_at": event.erased_at.isoformat(),
        "ages_out": _ages_out(event),
    }
    if check is not None:
        content |= {
            "complete": check.complete,
            "waits": check.waits,
            "left": [asdict(residue) for residue in check.left],
        }
    return content


def _print(event: CustomerErased, check: ErasureCheck | None) -> None:
    console = Console(soft_wrap=True, highlight=False)
    console.print(f"Erasure {event.erasure_id} of {len(event.refs)} reference(s) is in Kafka.", markup=False)
    if check is not None:
        for name in SERVICES:
            state = "waits " if name in check.waits else "done  "
            console.print(f"{state} {name}", markup=False)
        for residue in check.left:
            where = f"{residue.schema}.{residue.table}.{residue.column}"
            console.print(f"LEFT   {residue.rows} rows of {where} name the person", markup=False)
        if check.complete:
            console.print("ok     no column of any table names the person", markup=False)
    for topic, until in _ages_out(event).items():
        console.print(f"until {until[:10]} at the latest {topic} may hold what was sent", markup=False)
