"""Erasing a person: the facts and the customer go to surrogates, and what came since is somebody new."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from services.segmenter.facts import store as facts
from services.segmenter.facts.domain.contact import Contact
from services.segmenter.facts.domain.records import Kind, anonymous
from services.segmenter.facts.erasing import LEDGER
from services.segmenter.facts.store import CustomerKey, Owned
from services.segmenter.tiers import store as customers
from services.segmenter.tiers.domain.ruling import Rulebook
from services.segmenter.tiers.folding import refold
from shared.db import Session
from shared.db.erasures import Ref
from shared.feedback.identity import length_prefixed, order_ref, surrogate

_CLIENTS_IDS = (Kind.ORDER, Kind.ENGAGEMENT)


async def erase(
    session: Session, erased: Mapping[Ref, datetime], *, book: Rulebook, now: datetime, secret: bytes
) -> set[Ref]:
    """Give all facts of these people that were received until then to surrogates, and forget how to reach
    them. Who said something since goes on as somebody new. Returns for whom it was news."""
    await LEDGER.hold(session)
    news = await LEDGER.enter(session, erased)
    people = {CustomerKey(*ref): at for ref, at in erased.items()}
    owned = await facts.facts_until(session, people)
    rows = {row.key: row for row in await customers.held(session, people)}
    surrogates = {key: surrogate() for key in sorted({*rows, *(_owner(one) for one in owned)})}
    orders = {
        (one.key.store, order_ref(secret, one.key.store, one.key.id)): people[_owner(one)]
        for one in owned
        if one.key.kind is Kind.ORDER
    }
    if orders:
        await LEDGER.enter(session, orders)
    left = [_nobodys(one, surrogates[_owner(one)]) for one in owned]
    await facts.replace_facts(session, [one.key for one in owned], left)
    contacts = {key: row.contact.after(people[key]) for key, row in rows.items()}
    still = await facts.still_named(session, rows)
    alive = {
        key: replace(said, known=rows[key].contact.known) for key, said in contacts.items() if key in still
    }
    alive |= {key: replace(said, known=True) for key, said in contacts.items() if said != Contact()}
    await customers.hand_over(session, surrogates, now_ms=int(now.timestamp() * 1000))
    await customers.begin_again(session, rows, alive)
    for key in alive:
        if rows[key].contact.customer_id is not None:
            alive[key] = replace(alive[key], customer_id=rows[key].contact.customer_id)
    named = alive | {CustomerKey(key.store, one): Contact() for key, one in surrogates.items() if key in rows}
    await refold(session, named, book=book, now=now, stale=named)
    said = [one.key for one in owned if one.key.kind is Kind.ANSWER]
    keys = [length_prefixed(key.store, key.id).encode() for key in said]
    await LEDGER.blank_letters(session, erased, keys)
    return news


def _owner(one: Owned) -> CustomerKey:
    return CustomerKey(one.key.store, one.ref)


def _nobodys(one: Owned, ref: str) -> Owned:
    """Ids that a client chose go too; those of answers stay, so that a change still meets its answer."""
    key = one.key._replace(id=surrogate()) if one.key.kind in _CLIENTS_IDS else one.key
    return replace(one, key=key, ref=ref, record=anonymous(one.record, ref))
