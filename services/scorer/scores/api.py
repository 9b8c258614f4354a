"""`/v1/scores` and `/v1/answers`: one rolling score, and the record of one answer."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from services.scorer.counting.counter import AnswerCounter, StoreRules
from services.scorer.counting.domain.answer import Answer
from services.scorer.counting.store import answers
from services.scorer.counting.store.series import Series
from services.scorer.scores.figure import figure_of
from services.scorer.scores.store import tallies
from services.scorer.scores.store.tallies import Tally
from shared.access import Key, Scope
from shared.db import Database, asyncpg_connection
from shared.feedback.identity import normal_id
from shared.feedback.metrics import SCALES, Metric, UnknownScale, scale_for
from shared.feedback.moments import InvalidMoment, MissingOffset, parse_moment_of_query
from shared.feedback.windows import WINDOWS, UnknownWindow, Window, parse_window
from shared.http import Problem, Text, require

PROBLEMS: dict[int | str, dict[str, Any]] = {
    401: {"description": "No key, or an unknown one"},
    403: {"description": "The key lacks the scope scores:read"},
    404: {"description": "Nothing of that name in the key's store"},
    422: {
        "description": "A parameter that does not fit, or a combination that is not declared: see `declared`"
    },
}


class ScoreQuery(BaseModel):
    """Which score. Unknown parameters are an error, so that a typo does not read another score."""

    model_config = ConfigDict(extra="forbid")

    store: Text | None = Field(None, max_length=64, description="The key's own store, if it is named at all")
    metric: str = Field("nps", max_length=16, description=", ".join(Metric), examples=["nps"])
    scale: str | None = Field(
        None, max_length=16, description="The metric's default scale if absent", examples=["0-10"]
    )
    window: str = Field("30d", max_length=16, description=f"{', '.join(WINDOWS)} of elapsed seconds")
    segment: Text = Field(
        "",
        max_length=400,
        description="As country:NL; several with commas; a comma within a value as \\,",
        examples=["country:NL"],
    )
    touchpoint: Text = Field("", max_length=64, examples=["post_delivery"])
    policy: Literal["all", "latest"] | None = Field(
        None, description="Every answer, or each respondent's last one; the store's own if absent"
    )
    as_of: str | None = Field(
        None,
        max_length=64,
        description="RFC 3339 with offset; now if absent",
        examples=["2026-11-22T10:00:00+01:00"],
    )


class ScoreOut(BaseModel):
    """A rolling score, from its first answer on.

    It is hidden only where so few answers would tell who gave them: below `hide_below` of the metric in
    closeloop.yaml (eNPS 5, others 1), and below 5 as soon as one of its answers is confidential. Then
    `hidden` says why, and `n` and everything that follows from it is null.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "store": "demo",
                    "metric": "nps",
                    "scale": "0-10",
                    "policy": "latest",
                    "segment": "country:NL",
                    "touchpoint": "",
                    "window": "30d",
                    "as_of": "2026-11-22T09:00:00Z",
                    "n": 20,
                    "promoters": 10,
                    "passives": 5,
                    "detractors": 5,
                    "score": 25.0,
                    "margin": 34.5,
                    "ci95": [-12.9, 56.0],
                    "confidence": "low",
                    "band": "good",
                    "mean": 7.85,
                    "hidden": None,
                }
            ]
        }
    )

    store: str
    metric: str
    scale: str
    policy: str
    segment: str
    touchpoint: str
    window: str
    as_of: datetime
    n: int | None = Field(description="Answers in the window; 0 when there are none, null when hidden")
    promoters: int | None
    passives: int | None
    detractors: int | None
    score: float | None = Field(
        description="−100 to 100 for nps and enps; percent favourable for csat and ces"
    )
    margin: float | None = Field(description="Half-width of the 95% interval in points")
    ci95: tuple[float, float] | None = Field(
        description="The score interval (Tango) for nps and enps, Wilson's else"
    )
    confidence: Literal["suppressed", "low", "normal"] = Field(
        description="suppressed: hidden; low: fewer answers than the store's normal_n (30)"
    )
    band: str | None
    mean: float | None = Field(description="Mean of the raw scores, on the scale")
    hidden: str | None = Field(
        description="Why the score is hidden; null when it is not, as when there are no answers",
        examples=["fewer than 5 answers"],
    )


class AnswerOut(BaseModel):
    """What is known under one response id, and what became of it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "response_id": "0193a1c2-7b1e-7c3e-9a51-2f8e7d6c5b4a",
                    "status": "counted",
                    "metric": "nps",
                    "scale": "0-10",
                    "score": 9,
                    "answered_at": "2026-11-22T09:00:00Z",
                    "received_at": "2026-11-22T09:00:01Z",
                    "comment": "Fast delivery",
                    "touchpoint": "post_delivery",
                    "segments": {"country": "NL"},
                    "latest": True,
                    "amended": ["comment"],
                    "conflicts": 0,
                }
            ]
        }
    )

    response_id: str
    status: Literal["counted", "test", "retracted", "awaiting_original", "store_unknown"]
    metric: str | None
    scale: str | None
    score: int | None
    answered_at: datetime | None
    received_at: datetime | None
    comment: str | None
    touchpoint: str | None
    segments: dict[str, str]
    latest: bool = Field(description="Whether it is the respondent's last answer")
    amended: list[str] = Field(description="Fields with a later value")
    conflicts: int = Field(description="Other bodies that came under the same id and are not counted")


Reader = Annotated[Key, Depends(require(Scope.SCORES_READ))]

_SKEW = timedelta(minutes=5)
_FIRST = datetime(2000, 1, 1, tzinfo=UTC)


def routes(database: Database, counter: AnswerCounter, latest_scan_limit: int) -> APIRouter:
    """`/v1/scores` and `/v1/answers`."""
    router = APIRouter(prefix="/v1", responses=PROBLEMS)

    async def tally(rules: StoreRules, series: Series, policy: str, window: Window, *, past: bool) -> Tally:
        async with database.snapshot() as session:
            return await tallies.read(
                await asyncpg_connection(session),
                counter.series_ids,
                series,
                window,
                rules.zone,
                latest=policy == "latest",
                past=past,
                latest_limit=latest_scan_limit,
            )

    @router.get("/scores", summary="One rolling score", tags=["scores"])
    async def read_score(key: Reader, query: Annotated[ScoreQuery, Query()]) -> ScoreOut:
        """Counts, score and interval over (as_of − window, as_of], exact to the second on event time."""
        rules = _rules(counter, key)
        series = _series(rules, key.store, query)
        now = datetime.now(UTC)
        moment = _moment(query.as_of, now)
        window = Window.ending(moment, _length(query.window))
        policy = query.policy or rules.config.policy
        try:
            counted = await tally(rules, series, policy, window, past=moment < now)
        except tallies.TooManyAnswers:
            raise _wrong(
                "as_of",
                f"policy=latest in the past reads every answer, at most {latest_scan_limit}: "
                "take a shorter window, or policy=all",
            ) from None
        return ScoreOut(
            store=key.store,
            metric=series.metric,
            scale=series.scale,
            policy=policy,
            segment=series.segment,
            touchpoint=series.touchpoint,
            window=query.window,
            as_of=moment,
            **figure_of(Metric(series.metric), counted, rules.config).model_dump(),
        )

    @router.get("/answers/{response_id:path}", summary="The record of one answer", tags=["answers"])
    async def read_answer(
        key: Reader,
        response_id: Annotated[
            Text, Path(min_length=1, max_length=256, examples=["0193a1c2-7b1e-7c3e-9a51-2f8e7d6c5b4a"])
        ],
    ) -> AnswerOut:
        """Whether it counts, its present score, and how many rival bodies came under its id."""
        wanted = key.store, normal_id(response_id)
        async with database.snapshot() as session:
            stored = await answers.read_answers(await asyncpg_connection(session), [wanted])
        answer = stored.get(wanted)
        if answer is None:
            raise Problem(404, "not-found", "There is no answer with this id.")
        return _record(answer)

    return router


def _record(answer: Answer) -> AnswerOut:
    body = answer.body
    amended_comment = answer.amended.get("comment")
    comment = amended_comment.value if amended_comment else answers.event_of(body).comment if body else None
    return AnswerOut(
        response_id=answer.response_id,
        status=_status(answer),
        metric=body.metric if body else None,
        scale=body.scale if body else None,
        score=answer.score,
        answered_at=body.answered_at if body else None,
        received_at=body.received_at if body else None,
        comment=comment,
        touchpoint=body.touchpoint if body else None,
        segments=dict(body.segments) if body else {},
        latest=answer.latest,
        amended=sorted(answer.amended),
        conflicts=len(answer.rivals),
    )


def _status(
    answer: Answer,
) -> Literal["counted", "test", "retracted", "awaiting_original", "store_unknown"]:
    if answer.retracted:
        return "retracted"
    if answer.body is None:
        return "awaiting_original"
    if answer.body.test:
        return "test"
    return "counted" if answer.counted else "store_unknown"


def _rules(counter: AnswerCounter, key: Key) -> StoreRules:
    rules = counter.stores.get(key.store)
    if rules is None:
        raise Problem(404, "not-found", "The configuration no longer has this key's store.")
    return rules


def _series(rules: StoreRules, store: str, query: ScoreQuery) -> Series:
    try:
        scale = scale_for(query.metric, query.scale)
    except UnknownScale:
        scales = [scale.id for scale in SCALES if scale.metric == query.metric]
        if not scales:
            raise _wrong("metric", f"must be one of {', '.join(Metric)}") from None
        raise _wrong("scale", f"must be a scale of {query.metric}: {', '.join(scales)}") from None
    cut = rules.cuts.declared(query.segment, query.touchpoint)
    if cut is None:
        wrong = "touchpoint" if query.touchpoint and rules.cuts.declared(query.segment, "") else "segment"
        raise Problem(
            422,
            "not-declared",
            "This combination has no score. Declare it in closeloop.yaml, then run closeloop rebuild.",
            errors=[{"pointer": f"/query/{wrong}", "detail": "is not declared"}],
            declared=rules.cuts.listing(),
        )
    return Series(store, scale.metric.value, scale.id, cut.segment, cut.touchpoint)


def _length(window: str) -> timedelta:
    try:
        return parse_window(window)
    except UnknownWindow:
        raise _wrong("window", f"must be one of {', '.join(WINDOWS)}") from None


def _moment(as_of: str | None, now: datetime) -> datetime:
    if as_of is None:
        return now
    try:
        moment = parse_moment_of_query(as_of).astimezone(UTC)
    except MissingOffset:
        raise _wrong("as_of", "needs an offset, as +01:00 or Z") from None
    except InvalidMoment:
        raise _wrong("as_of", "must be a time as 2026-11-22T10:00:00+01:00 (RFC 3339)") from None
    if moment < _FIRST:
        raise _wrong("as_of", "must not lie before the year 2000")
    if moment > now + _SKEW:
        raise _wrong("as_of", "must not lie in the future")
    return min(moment, now)


def _wrong(parameter: str, detail: str) -> Problem:
    return Problem(
        422,
        "invalid",
        f"{parameter} {detail}.",
        errors=[{"pointer": f"/query/{parameter}", "detail": detail}],
    )
