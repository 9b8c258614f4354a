"""What is asked about the report and the customers to tell, and what clients get."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from services.notifier.cases.domain.rules import Priority
from services.notifier.domain.states import Outcome
from shared.feedback.comparison import Verdict
from shared.http import Text


class ReportAsked(BaseModel):
    """Which report. Unknown parameters are an error, so that a typo does not read another one."""

    model_config = ConfigDict(extra="forbid")

    store: Text | None = Field(None, max_length=64, description="The key's own store, if it is named at all")
    period: str | None = Field(
        None,
        max_length=32,
        description="7d, 30d (the default), month:2026-10 or quarter:2026-Q3; months in the store's zone",
        examples=["30d"],
    )
    start: str | None = Field(
        None, alias="from", max_length=40, description="RFC 3339 with offset; instead of `period`"
    )
    end: str | None = Field(
        None, alias="to", max_length=40, description="RFC 3339 with offset; now if absent"
    )
    team: Text | None = Field(None, min_length=1, max_length=64, description="`none`: cases of no team")
    priority: Priority | None = None


class TellAsked(ReportAsked):
    limit: int = Field(200, ge=1, le=1000)
    cursor: str | None = Field(None, max_length=400)


class ShareOut(BaseModel):
    """`count` of `of`, in percent with one decimal; null of nothing, never 0."""

    count: int
    of: int
    percent: float | None
    ci95: tuple[float, float] | None = Field(description="Wilson's interval")


class SpanOut(BaseModel):
    """Seconds, by each case's own clock (working hours, or around the clock)."""

    p50: float | None
    p90: float | None


class BarOut(BaseModel):
    upto_hours: int | None = Field(description="Null: all that took longer")
    cases: int


class OpenOut(BaseModel):
    """As things are now, whatever the period."""

    open: int
    unassigned: int
    ages: dict[str, int]


class OwnerOut(BaseModel):
    """`enough` is false under 5 cases: then nothing is said about the person."""

    owner: str | None = Field(description="Null: nobody")
    open: int
    closed: int
    enough: bool
    in_time: ShareOut | None
    first_contact_p50: float | None


class ReopenedOut(BaseModel):
    """Of the cases closed in the period, those opened again before its end."""

    now: ShareOut
    before: ShareOut
    verdict: Verdict


class RecoveredOut(BaseModel):
    """`noted`: as the owner says, of closed cases. `proved`: the customer's next answer of the same metric
    is no longer a detractor, of those who answered again."""

    noted: ShareOut
    proved: ShareOut


class CauseOut(BaseModel):
    cause: str = Field(description="Empty: none was given")
    cases: int
    before: int
    change: int
    months: int = Field(description="In how many of the last months it took 15% or more of what was closed")
    of_months: int
    recurring: bool
    to_tell: int = Field(description="Customers of closed cases who were not told what changed")


class ChannelOut(BaseModel):
    """Seconds from the first attempt until it was delivered."""

    channel: str
    sent: int
    delivered: int
    in_digest: int
    waiting: int
    retrying: int
    dead: int
    p50: float | None
    p99: float | None


class ReportOut(BaseModel):
    store: str
    period: str | None
    start: datetime = Field(serialization_alias="from")
    end: datetime = Field(serialization_alias="to")
    compared_with: datetime = Field(description="Where the period before begins; it ends at `from`")
    zone: str
    team: str | None
    priority: Priority | None
    opened: int
    closed: int
    reopened: int
    dismissed: int
    now: OpenOut
    first_contact: SpanOut
    first_contact_bars: list[BarOut]
    close: SpanOut
    in_working_hours: int = Field(description="Of the cases opened, those with a clock of working hours")
    contacted_in_time: ShareOut
    resolved_in_time: ShareOut
    reopened_of_closed: ReopenedOut
    recovered: RecoveredOut
    outcomes: dict[Outcome, int]
    owners: list[OwnerOut]
    causes: list[CauseOut]
    channels: list[ChannelOut] = Field(description="Of the whole store")


class CustomerToTellOut(BaseModel):
    case_id: str
    number: int
    customer_ref: str
    customer_id: str | None
    email: str | None
    name: str | None
    closed_at: datetime
    outcome: str | None
    owner: str | None


class CustomersToTellOut(BaseModel):
    """A page; the next one is in the header `Link`, rel=next.

    Send `from` and `to` back to `told`, and just these are marked.
    """

    cause: str
    start: datetime = Field(serialization_alias="from")
    end: datetime = Field(serialization_alias="to")
    customers: list[CustomerToTellOut]


class ToldOut(BaseModel):
    cause: str
    told: int = Field(description="Cases marked now; those marked before stay as they are")
