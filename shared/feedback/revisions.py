"""Which body of an answer counts, and which later value of each of its fields: the one rule of all services.

An answer is folded from everything that arrived under its id, in whatever order:

- Of several bodies the one with the lowest `ce_id` counts. The others lost, and change nothing.
- Of a field's revisions the highest (number, `ce_id`) counts, among those that may change that body. A
  revision with an amend token may change only the body for which the token was given out (`of`).
- A score must be one of the body's scale, and its sender must not have taken the answer for one of another
  metric or scale. A score that was meant for the body and is impossible there is refused: the highest of the
  others counts.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Protocol, TypeVar

from shared.feedback.metrics import SCALES, UnknownScale, scale_for


class Original(Protocol):
    """A submitted body, as far as the rule needs it. `fingerprint` tells bodies of one id apart."""

    @property
    def ce_id(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def metric(self) -> str: ...
    @property
    def scale(self) -> str: ...
    @property
    def score(self) -> int: ...


_O = TypeVar("_O", bound=Original)


class Revision(NamedTuple):
    """A later value of one field.

    `of`: the fingerprint of the only body that it may change; None: whichever counts. `metric` and `scale`:
    what the sender of a score took the answer for, if that was said.
    """

    field: str
    number: int
    ce_id: str
    value: Any
    of: str | None = None
    metric: str | None = None
    scale: str | None = None


def revisions(
    changes: Mapping[str, Any],
    *,
    number: int,
    ce_id: str,
    of: str | None = None,
    metric: str | None = None,
    scale: str | None = None,
) -> list[Revision]:
    """What one amendment changes, a revision for each field."""
    return [
        Revision(field, number, ce_id, value, of, *((metric, scale) if field == "score" else (None, None)))
        for field, value in changes.items()
    ]


_MOST_OF_OTHERS = 100
"""Revisions that are kept beside those of the body that counts. They count only if an older body comes yet:
whoever makes bodies under somebody else's id must not fill that answer's row."""


def merged(
    known: tuple[Revision, ...], more: Iterable[Revision], body: Original | None = None
) -> tuple[Revision, ...]:
    """All revisions that can still count, whichever body turns out to be the one; `known` itself if that
    changes nothing. `body`: the one that counts at present.

    Of revisions that could only ever count together the highest is enough, so an answer that is amended again
    and again keeps few. The order of merging does not matter.
    """
    highest = {_condition(revision): revision for revision in known}
    changed = False
    for revision in more:
        condition = _condition(revision)
        held = highest.get(condition)
        if held is None or _rank(held) < _rank(revision):
            highest[condition] = revision
            changed = True
    if not changed:
        return known
    if len(highest) > _MOST_OF_OTHERS:
        others = [r for r in highest.values() if body is None or not reaches(r, body)]
        for revision in sorted(others, key=_rank)[: max(0, len(others) - _MOST_OF_OTHERS)]:
            del highest[_condition(revision)]
    return tuple(sorted(highest.values(), key=_rank))


def first(bodies: Iterable[_O]) -> _O:
    """The body that counts of those under one id. Raises ValueError without any."""
    return min(bodies, key=lambda body: body.ce_id)


def reaches(revision: Revision, body: Original) -> bool:
    """Whether a revision was meant for this body, so that it counts or is refused."""
    return revision.of is None or revision.of == body.fingerprint


def may_change(revision: Revision, body: Original) -> bool:
    """Whether a revision was meant for this body and is possible there."""
    if not reaches(revision, body):
        return False
    if revision.field != "score":
        return True
    if revision.metric not in (None, body.metric) or revision.scale not in (None, body.scale):
        return False
    try:
        return scale_for(body.metric, body.scale).is_valid(revision.value)
    except UnknownScale:  # of a later release: what is possible there is not known here
        return False


def present(body: Original, known: Iterable[Revision]) -> dict[str, Revision]:
    """The revision that counts now of each field that was amended; other fields are as submitted."""
    counting: dict[str, Revision] = {}
    for revision in known:
        held = counting.get(revision.field)
        if (held is None or _rank(held) < _rank(revision)) and may_change(revision, body):
            counting[revision.field] = revision
    return counting


def refused(body: Original, known: Iterable[Revision]) -> list[Revision]:
    """The revisions that were meant for this body and are impossible there."""
    return [revision for revision in known if reaches(revision, body) and not may_change(revision, body)]


def _rank(revision: Revision) -> tuple[int, str]:
    return revision.number, revision.ce_id


def _condition(revision: Revision) -> tuple[object, ...]:
    """On what it depends whether a revision counts: for a score also on the scales that have its value."""
    if revision.field != "score":
        return revision.field, revision.of
    possible = tuple(scale.is_valid(revision.value) for scale in SCALES)
    return revision.field, revision.of, revision.metric, revision.scale, possible
