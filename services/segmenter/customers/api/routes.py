"""`/v1/customers`, the override by hand, and `/v1/tiers`."""

import base64
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from services.segmenter.customers.api.shapes import (
    CustomerList,
    CustomerOut,
    OverrideIn,
    TiersOut,
    customer_out,
    listed_out,
    tiers_out,
)
from services.segmenter.customers.store import listed
from services.segmenter.facts import store as fact_store
from services.segmenter.facts.domain.records import OverrideRecord
from services.segmenter.facts.erasing import LEDGER
from services.segmenter.facts.store import CustomerKey
from services.segmenter.tiers import store as tier_store
from services.segmenter.tiers.domain.ruling import LoyaltyRules, RulesByStore
from services.segmenter.tiers.domain.tags import TAG_RULES
from services.segmenter.tiers.folding import override
from shared.access import Key, Scope
from shared.db import Database
from shared.events import new_id
from shared.feedback.identity import customer_ref, normal_email, normal_id
from shared.http import Problem, Text, json_body, request_body, require
from shared.http.paging import link_next
from shared.http.problems import not_one_of
from shared.ops.logs import log

_log = log("segmenter")

Reader = Annotated[Key, Depends(require(Scope.CUSTOMERS_READ))]
Admin = Annotated[Key, Depends(require(Scope.ADMIN))]

TAGS = tuple(rule.name for rule in TAG_RULES)
_REF = re.compile(r"[0-9a-f]{32}")

_OVERRIDE_EXAMPLE = {
    "tier": "Gold",
    "until": "2027-01-31T00:00:00+01:00",
    "reason": "From our old shop",
}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    401: {"description": "No key, or an unknown one"},
    403: {"description": "The key lacks the scope"},
    404: {"description": "This store has no such customer"},
}


def routes(
    database: Database, rules_by_store: RulesByStore, secret: bytes, on_change: Callable[[], None]
) -> APIRouter:
    """`/v1/customers` and `/v1/tiers`. `on_change` is called when an override was stored."""
    router = APIRouter(prefix="/v1", tags=["customers"], responses=_RESPONSES)

    async def named_customer(key: Key, customer_id: str) -> CustomerKey:
        """The customer of the key's store with this id or ref. Raises Problem 404 when the store never named
        them."""
        ref_of_id = customer_ref(secret, key.store, customer_id=customer_id)
        refs = [ref_of_id] if ref_of_id else []
        if _REF.fullmatch(ref := normal_id(customer_id)):
            refs.append(ref)
        async with database.snapshot() as session:
            for ref in refs:
                if await tier_store.find_customer(session, CustomerKey(key.store, ref)):
                    return CustomerKey(key.store, ref)
        raise Problem(404, "not-found", "This store has no such customer.")

    async def as_of_now(customer: CustomerKey) -> CustomerOut:
        async with database.snapshot() as session:
            row = await tier_store.find_customer(session, customer)
            records = await fact_store.facts_of_customers(session, [customer])
            email = row.contact.email if row else None
            same = await listed(session, customer.store, email=email, limit=20) if email else []
        if row is None:
            raise Problem(404, "not-found", "This store has no such customer.")
        return customer_out(
            row, records[customer], same, _rules(rules_by_store, customer.store), datetime.now(UTC)
        )

    @router.get("/customers", summary="Customers by tier, tag or e-mail address")
    async def list_customers(  # noqa: PLR0917 - the parameters of the address
        request: Request,
        response: Response,
        key: Reader,
        tier: Annotated[Text | None, Query(max_length=64, examples=["Gold"])] = None,
        tag: Annotated[Text | None, Query(max_length=64, examples=["detractor"])] = None,
        email: Annotated[Text | None, Query(max_length=320, examples=["asha@example.com"])] = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
        cursor: Annotated[str | None, Query(max_length=200, description="From the header Link")] = None,
    ) -> CustomerList:
        rules = _rules(rules_by_store, key.store)
        if tier is not None:
            _check_tier(tier, rules, "/query/tier")
        if tag is not None and tag not in TAGS:
            raise not_one_of(TAGS, "tag", "/query/tag")
        after = _after(cursor)
        async with database.snapshot() as session:
            rows = await listed(
                session,
                key.store,
                tier=tier,
                tag=tag,
                email=normal_email(email) if email else None,
                after=after,
                limit=limit + 1,
            )
        if len(rows) > limit:
            link_next(request, response, _cursor(rows[limit - 1].ref))
        return CustomerList(customers=[listed_out(row) for row in rows[:limit]])

    @router.get("/customers/{customer_id:path}", summary="One customer, with the reason of the tier")
    async def read_customer(
        key: Reader,
        customer_id: Annotated[
            str,
            Path(max_length=512, description="The store's own id, or a guest's ref", examples=["c-1"]),
        ],
    ) -> CustomerOut:
        return await as_of_now(await named_customer(key, customer_id))

    @router.post(
        "/customers/{customer_id:path}/override",
        summary="Set the tier by hand until a date",
        openapi_extra=request_body(OverrideIn, _OVERRIDE_EXAMPLE),
    )
    async def set_tier(
        key: Admin,
        customer_id: Annotated[str, Path(max_length=512, examples=["c-1"])],
        body: Annotated[OverrideIn, Depends(json_body(OverrideIn))],
    ) -> CustomerOut:
        rules = _rules(rules_by_store, key.store)
        _check_tier(body.tier, rules, "/tier")
        customer = await named_customer(key, customer_id)
        record = OverrideRecord(
            ref=customer.ref,
            tier=body.tier,
            until=body.until,
            reason=body.reason,
            at=datetime.now(UTC),
            by=key.key_id,
        )
        async with database.transaction() as session:
            await LEDGER.share(session)
            if await tier_store.find_customer(session, customer) is None:  # erased meanwhile
                raise Problem(404, "not-found", "This store has no such customer.")
            await override(session, customer, record, fact_id=new_id(), rules_by_store=rules_by_store)
        _log.info("customer.overridden", store=key.store, key_id=key.key_id)
        on_change()
        return await as_of_now(customer)

    @router.get("/tiers", summary="How many customers each tier has", tags=["tiers"])
    async def read_tiers(key: Reader) -> TiersOut:
        """Members by tier, and the points that enter and keep each.

        A tier that one order gave rests on this order until the tier is first renewed. Meanwhile a refund of
        all of the order decides at once: the customer needs the points that enter the tier. A refund of a
        part of it costs the tier only when the points fall below `keep`. After a renewal a refund only lowers
        the points.
        """
        async with database.snapshot() as session:
            members = await tier_store.members_by_tier(session, key.store)
        return tiers_out(members, _rules(rules_by_store, key.store))

    return router


def _rules(rules_by_store: RulesByStore, store: str) -> LoyaltyRules:
    if store not in rules_by_store:
        raise Problem(404, "not-found", "The configuration has no such store any more.")
    return rules_by_store[store]


def _check_tier(tier: str, rules: LoyaltyRules, pointer: str) -> None:
    names = [tier.name for tier in rules.programme.tiers]
    if tier not in names:
        raise not_one_of(names, "tier", pointer)


def _cursor(ref: str) -> str:
    return base64.urlsafe_b64encode(ref.encode()).decode().rstrip("=")


def _after(cursor: str | None) -> str:
    """The ref after which the page begins. Raises Problem 422 for a cursor that this API did not make."""
    if cursor is None:
        return ""
    try:
        ref = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except ValueError:
        ref = ""
    if not _REF.fullmatch(ref):
        errors = [{"pointer": "/query/cursor", "detail": "is not a cursor of this list"}]
        raise Problem(422, "invalid", "Take the cursor from the header Link.", errors=errors)
    return ref
