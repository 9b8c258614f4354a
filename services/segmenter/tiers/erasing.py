"""Erasing people: their facts and their customers' rows go to surrogates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from services.segmenter.facts import store as fact_store
from services.segmenter.facts.domain.contact import Contact
from services.segmenter.facts.domain.records import Kind, anonymous
from services.segmenter.facts.erasing import LEDGER
from services.segmenter.facts.store import CustomerKey, Owned
from services.segmenter.tiers import store as tier_store
from services.segmenter.tiers.domain.ruling import RulesByStore
from services.segmenter.tiers.folding import refold
from shared.db import Session
from shared.db.erasures import Ref
from shared.feedback.identity import length_prefixed, order_ref, surrogate

_CLIENTS_IDS = (Kind.ORDER, Kind.ENGAGEMENT)
"""Kinds of facts whose ids the client chose: they may name a person."""


async def erase(
    session: Session,
    erased: Mapping[Ref, datetime],
    *,
    rules_by_store: RulesByStore,
    now: datetime,
    secret: bytes,
) -> set[Ref]:
    """Give all facts of these people that were received until their erasure to surrogates; drop their
    contacts.

    Whoever gave facts or a contact since goes on as somebody new, under the same reference. Returns the
    references that were not in the ledger before.
    """
    await LEDGER.hold(session)
    newly_erased = await LEDGER.enter(session, erased)
    people = {CustomerKey(*ref): at for ref, at in erased.items()}
    owned = await fact_store.facts_until(session, people)
    rows = {row.key: row for row in await tier_store.lock_existing(session, people)}
    surrogates = {key: surrogate() for key in sorted({*rows, *(_owner(fact) for fact in owned)})}
    orders = {
        (fact.key.store, order_ref(secret, fact.key.store, fact.key.id)): people[_owner(fact)]
        for fact in owned
        if fact.key.kind is Kind.ORDER
    }
    if orders:
        await LEDGER.enter(session, orders)
    anonymised = [_anonymised(fact, surrogates[_owner(fact)]) for fact in owned]
    await fact_store.replace_facts(session, [fact.key for fact in owned], anonymised)
    contacts = {key: row.contact.after(people[key]) for key, row in rows.items()}
    with_facts = await fact_store.customers_with_facts(session, rows)
    alive = {
        key: replace(contact, known=rows[key].contact.known)
        for key, contact in contacts.items()
        if key in with_facts
    }
    alive |= {key: replace(contact, known=True) for key, contact in contacts.items() if contact != Contact()}
    await tier_store.hand_over(session, surrogates, now_ms=int(now.timestamp() * 1000))
    await tier_store.begin_again(session, rows, alive)
    for key in alive:
        if rows[key].contact.customer_id is not None:
            alive[key] = replace(alive[key], customer_id=rows[key].contact.customer_id)
    named = alive | {CustomerKey(key.store, ref): Contact() for key, ref in surrogates.items() if key in rows}
    await refold(session, named, rules_by_store=rules_by_store, now=now, stale=named)
    answers = [fact.key for fact in owned if fact.key.kind is Kind.ANSWER]
    keys = [length_prefixed(key.store, key.id).encode() for key in answers]
    await LEDGER.blank_letters(session, erased, keys)
    return newly_erased


def _owner(fact: Owned) -> CustomerKey:
    return CustomerKey(fact.key.store, fact.ref)


def _anonymised(fact: Owned, ref: str) -> Owned:
    """The fact under the surrogate `ref`, without an id that a client chose.

    The id of an answer stays, so that a later amendment still finds it.
    """
    key = fact.key._replace(id=surrogate()) if fact.key.kind in _CLIENTS_IDS else fact.key
    return replace(fact, key=key, ref=ref, record=anonymous(fact.record, ref))
