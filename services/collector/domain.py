"""The rules that several rooms share: ids, times, scores and currencies."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.feedback.identity import customer_ref, customer_refs, normal_id
from shared.feedback.metrics import SCALES, Scale, UnknownScale, scale_for
from shared.feedback.moments import InvalidMoment, MissingOffset, parse_moment

CLOCK_TOLERANCE = timedelta(minutes=5)
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
MOST_ID_CHARACTERS = 128


class InvalidInput(ValueError):
    """A rule refuses the body of a request.

    `pointer` is the place in the body (RFC 6901); `detail` says what is wrong and quotes nothing of it.
    """

    def __init__(self, pointer: str, detail: str) -> None:
        super().__init__(f"{pointer}: {detail}")
        self.pointer = pointer
        self.detail = detail


def checked_scale(metric: str, scale_id: str | None) -> Scale:
    """The scale of this id, or the metric's default scale for None. Raises InvalidInput."""
    try:
        return scale_for(metric, scale_id)
    except UnknownScale:
        known = ", ".join(scale.id for scale in SCALES if scale.metric == metric)
        raise InvalidInput("/scale", f"is not a scale of {metric}: use one of {known}") from None


def check_score(scale: Scale, score: int) -> None:
    """Raises InvalidInput unless the score is an integer of the scale."""
    if not scale.is_valid(score):
        raise InvalidInput("/score", f"must be an integer of {scale.low}..{scale.high} (scale {scale.id})")


def check_score_of_some_scale(metric: str | None, scale_id: str | None, score: int) -> None:
    """Raises InvalidInput unless the score is one of a scale that has this metric and this id, as far as they
    are given."""
    scales = [s for s in SCALES if metric in (None, s.metric) and scale_id in (None, s.id)]
    if not scales:
        checked_scale(metric or SCALES[0].metric, scale_id)  # raises, and says which scales there are
    if not any(scale.is_valid(score) for scale in scales):
        ranges = " or ".join(dict.fromkeys(f"{s.low}..{s.high} (scale {s.id})" for s in scales))
        raise InvalidInput("/score", f"must be an integer of {ranges}")


def chosen_id(in_body: str | None, in_header: bytes | None, pointer: str = "/response_id") -> str | None:
    """The client's id, from the body or the header `Idempotency-Key`; None if it has none.

    Raises InvalidInput at `pointer` if the two differ, or if the header is no id.
    """
    if in_header is None:
        return in_body
    key = normal_id(in_header.decode("latin-1").strip('"'))
    if not (key.isascii() and key.isprintable() and 0 < len(key) <= MOST_ID_CHARACTERS):
        raise InvalidInput(pointer, "the Idempotency-Key must be 1 to 128 printable ASCII characters")
    if in_body is not None and in_body != key:
        raise InvalidInput(pointer, "differs from the Idempotency-Key")
    return key


def namespaced(key_id: str, response_id: str) -> str:
    """The id of an answer that came with a public key: `<key id>:<id>`.

    So no page can name the answer of another key. An id that has the prefix stays as it is: a client may
    retry with the id that it sent or with the one that it got.
    """
    prefix = f"{key_id}:"
    return response_id if response_id.startswith(prefix) else prefix + response_id


def event_time(sent: str, now: datetime, pointer: str) -> datetime:
    """The time that a body names, in UTC. Raises InvalidInput at `pointer`.

    `sent` is RFC 3339 with an offset, not before the year 2000 and at most 5 minutes after `now`: clocks of
    clients may be a little ahead, and the caller then takes `now` for it.
    """
    try:
        moment = parse_moment(sent).astimezone(UTC)
    except MissingOffset:
        raise InvalidInput(pointer, "needs a zone: end it with Z or an offset such as +01:00") from None
    except InvalidMoment:
        raise InvalidInput(pointer, "is not a time such as 2026-11-22T10:00:00+01:00 (RFC 3339)") from None
    if moment < EARLIEST:
        raise InvalidInput(pointer, "is before the year 2000")
    if moment > now + CLOCK_TOLERANCE:
        raise InvalidInput(pointer, "is more than 5 minutes in the future")
    return moment


def check_currency(currency: str | None, of_store: str, pointer: str) -> None:
    """Raises InvalidInput when an amount is in another currency than the store's."""
    if currency is not None and currency != of_store:
        raise InvalidInput(pointer, f"must be the store's currency, {of_store}")


def without_nulls(fields: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the fields that have a value."""
    return {name: value for name, value in fields.items() if value is not None}


_NOBODY = "needs an id or an e-mail that is not blank"


class CustomerRefs:
    """Knows the secret with which references are made. `customer` may hold `id` and `email`."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def ref(self, store: str, customer: Mapping[str, Any], pointer: str) -> str:
        """The reference of the id, or of the e-mail if there is no id. Raises InvalidInput at `pointer`."""
        ref = customer_ref(self._secret, store, customer_id=customer.get("id"), email=customer.get("email"))
        if ref is None:
            raise InvalidInput(pointer, _NOBODY)
        return ref

    def all_refs(self, store: str, customer: Mapping[str, Any], pointer: str) -> tuple[str, ...]:
        """Every reference of the id and of the e-mail, also older ones. Raises InvalidInput at `pointer` if
        both are blank."""
        refs = customer_refs(self._secret, store, customer_id=customer.get("id"), email=customer.get("email"))
        if not refs:
            raise InvalidInput(pointer, _NOBODY)
        return refs
