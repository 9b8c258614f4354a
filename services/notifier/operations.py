"""What rules would have done with answers that are stored: reads, and changes nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.notifier.cases.deciding import rule_inputs
from services.notifier.cases.domain.answers import Answer
from services.notifier.cases.domain.policy import Policy
from services.notifier.cases.domain.rules import Rule, strictest
from services.notifier.cases.store import answers, customers
from shared.db import Session

_AT_ONCE = 500
_PAST = 100


@dataclass(frozen=True, slots=True)
class Judged:
    """`opens`: it would have opened or reopened a case, not joined one that these rules opened before."""

    answer: Answer
    rule: Rule | None
    opens: bool


async def judged_answers(
    session: Session, store: str, policy: Policy, since: datetime
) -> AsyncIterator[Judged]:
    """The store's answers since then, in the order in which they came.

    A customer's case is taken to be open from the answer that opened it until its resolution was due, since
    nobody worked these cases.
    """
    open_until: dict[str, datetime] = {}
    async for batch in answers.since(session, store, since, at_once=_AT_ONCE):
        refs = {(store, ref) for ref, _ in batch}
        known = await customers.known(session, refs)
        before = await answers.past_answers(session, refs, most=_PAST)
        for ref, answer in batch:
            key = (store, ref)
            customer = known.get(key, customers.Customer())
            rule = None
            if not answer.retracted:
                rule = strictest(policy.rules, rule_inputs(answer, customer, before.get(key, ())))
            at = answer.body.received_at
            opens = rule is not None and at >= open_until.get(ref, at)
            if rule is not None and opens:
                open_until[ref] = policy.clock(rule.clock).due(at, timedelta(hours=rule.resolve_hours))
            yield Judged(answer, rule, opens)
