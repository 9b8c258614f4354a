"""What a customer answered before."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from services.notifier.cases.domain.answers import Answer
from shared.feedback.metrics import Group, Polarity, scale_for


@dataclass(frozen=True, slots=True)
class Past:
    """One known answer of a customer, as it is now."""

    response_id: str
    metric: str
    scale: str
    score: int
    group: Group
    answered_at: datetime


def fall(answer: Answer, score: int, known: Iterable[Past]) -> int | None:
    """By how many points of its scale this score is worse than the customer's last answer before it.

    Negative: it is better. None: there was no answer of the same metric and scale before.
    """
    body = answer.body
    before = [
        past
        for past in known
        if (past.metric, past.scale) == (body.metric, body.scale)
        and past.response_id != answer.response_id
        and (past.answered_at, past.response_id) < (body.answered_at, answer.response_id)
    ]
    if not before:
        return None
    last = max(before, key=lambda past: (past.answered_at, past.response_id)).score
    worse_is_higher = scale_for(body.metric, body.scale).polarity is Polarity.EFFORT
    return score - last if worse_is_higher else last - score


def latest_group(known: Iterable[Past]) -> str | None:
    """promoter, passive or detractor: of the answer that was given last."""
    last = max(known, key=lambda past: (past.answered_at, past.response_id), default=None)
    return last.group.name.lower() if last else None
