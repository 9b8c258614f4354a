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
from cli.progress import Tell, progress
from shared.db import Database
from shared.db.erasures import Erasures
from shared.db.residue import Found, search
from shared.events import encode, new_id
from shared.events.erasures import CustomerErased
from shared.events.topics import CASES, ERASURES, ORDERS, RESPONSES
from shared.feedback.identity import customer_ref
from shared.kafka import NotAcknowledged, Producer

SERVICES = ("scorer", "segmenter", "notifier")
SCHEMAS = ("collector", *SERVICES)
STATEMENT_TIMEOUT_SECONDS = 600
_LOOK_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Person:
    """Whom to forget, as it was given; `ids` also those that the store gave with the address."""

    store: str
    email: str
    ids: tuple[str, ...]

    @property
    def words(self) -> list[str]:
        """By what the person is found in a row; an id only where it stands as one."""
        quoted = [json.dumps(one, ensure_ascii=False) for one in self.ids]
        found = [f'"id":{space}{one}' for one in quoted for space in ("", " ")]
        return [*found, *([self.email] if self.email else [])]


@dataclass(slots=True)
class Proof:
    """What an erasure has done. `waits`: services whose ledger lacks it; `left`: what names the person."""

    waits: list[str] = field(default_factory=lambda: list(SERVICES))
    left: list[Found] = field(default_factory=list)

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
    with progress(quiet=as_json) as tell:
        person = Person(store, email.strip(), (customer_id,) if customer_id.strip() else ())
        event, proof = product.run(_erase(person, timeout if wait else 0.0, tell))
    if as_json:
        typer.echo(json.dumps(_as_json(event, proof if wait else None), indent=2))
    else:
        _print(event, proof if wait else None)
    if wait and not proof.complete:
        raise CommandError(
            f"The erasure is not complete after {timeout:.0f} s",
            remedy="Is a service down or behind? `closeloop doctor`. What came since the erasure is somebody "
            "new's: docs/erasure.md.",
        )


async def _erase(person: Person, seconds: float, tell: Tell) -> tuple[CustomerErased, Proof]:
    secret, store = product.secrets().customers, person.store
    async with product.database(statement_timeout_seconds=STATEMENT_TIMEOUT_SECONDS) as database:
        if person.email:
            known = await _ids_of(database, store, person.email)
            person = replace(person, ids=tuple(dict.fromkeys([*person.ids, *known])))
        refs = [customer_ref(secret, store, customer_id=one) for one in person.ids]
        refs.append(customer_ref(secret, store, email=person.email))
        first, *also = [ref for ref in refs if ref]
        event = CustomerErased(
            store=store,
            customer_ref=first,
            also=tuple(also),
            erased_at=datetime.now(UTC),
            erasure_id=new_id(),
        )
        await _send(event)
        return event, await _proved(database, event, person, seconds, tell) if seconds else Proof()


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


async def _proved(
    database: Database, event: CustomerErased, person: Person, seconds: float, tell: Tell
) -> Proof:
    """Look until nothing is left, or the time is over."""
    words = [*event.refs, *person.words]
    deadline = time.monotonic() + seconds
    while True:
        proof = Proof(waits=[], left=[])
        for name in SERVICES:
            async with database.transaction() as session:
                wanted = {(event.store, ref) for ref in event.refs}
                ledger = await Erasures(name).of(session, wanted)
            if any(ledger.get(key, datetime.min.replace(tzinfo=UTC)) < event.erased_at for key in wanted):
                proof.waits.append(name)
        tell("services", len(SERVICES) - len(proof.waits), len(SERVICES))
        if not proof.waits:
            for name in SCHEMAS:
                async with database.transaction() as session:
                    proof.left += await search(session, name, words, store=person.store)
                    for one in person.ids:
                        by_id = {"customer_id": one}
                        proof.left += await search(session, name, [], store=person.store, columns=by_id)
        if proof.complete or time.monotonic() > deadline:
            return proof
        await asyncio.sleep(_LOOK_SECONDS)


def _ages_out(event: CustomerErased) -> dict[str, str]:
    """Until when the topics may hold what was sent: they keep a segment a day longer than its records."""
    topics = (RESPONSES, ORDERS, CASES, ERASURES)
    return {
        topic.name: (event.erased_at + timedelta(days=(topic.kept_days or 0) + 1)).isoformat()
        for topic in topics
    }


def _as_json(event: CustomerErased, proof: Proof | None) -> dict[str, Any]:
    said: dict[str, Any] = {
        "erasure_id": event.erasure_id,
        "store": event.store,
        "refs": list(event.refs),
        "erased_at": event.erased_at.isoformat(),
        "ages_out": _ages_out(event),
    }
    if proof is not None:
        said |= {
            "complete": proof.complete,
            "waits": proof.waits,
            "left": [asdict(found) for found in proof.left],
        }
    return said


def _print(event: CustomerErased, proof: Proof | None) -> None:
    console = Console(soft_wrap=True, highlight=False)
    console.print(f"Erasure {event.erasure_id} of {len(event.refs)} reference(s) is in Kafka.", markup=False)
    if proof is not None:
        for name in SERVICES:
            state = "waits " if name in proof.waits else "done  "
            console.print(f"{state} {name}", markup=False)
        for found in proof.left:
            where = f"{found.schema}.{found.table}.{found.column}"
            console.print(f"LEFT   {found.rows} rows of {where} name the person", markup=False)
        if proof.complete:
            console.print("ok     no column of any table names the person", markup=False)
    for topic, until in _ages_out(event).items():
        console.print(f"until {until[:10]} at the latest {topic} may hold what was sent", markup=False)
