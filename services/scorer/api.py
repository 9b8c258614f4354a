"""HTTP in and out: rolling scores, and the record of one answer."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, Field

from services.scorer.counting import Counting, StoreRules
from services.scorer.domain import Answer
from services.scorer.figures import shown
from services.scorer.store import answers, scores
from services.scorer.store.series import Series
from shared.access import Key, Scope
from shared.db import Database, driver
from shared.feedback.metrics import Metric, UnknownScale, scale_for
from shared.feedback.windows import WINDOWS, UnknownWindow, Window, parse_window, split
from shared.web import Problem, require

Reader = Annotated[Key, Depends(require(Scope.SCORES_READ))]


class ScoreOut(BaseModel):
    """A rolling score. Fewer answers than the store's minimum: `n` and everything of it is null."""

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
    ci95: tuple[float, float] | None = Field(description="Adjusted Wald for nps and enps, Wilson else")
    confidence: Literal["suppressed", "low", "normal"]
    band: str | None
    mean: float | None = Field(description="Mean of the raw scores, on the scale")


class AnswerOut(BaseModel):
    """What is known under one response id, and what became of it."""

    response_id: str
    status: Literal["counted", "test", "retracted", "awaiting_original"]
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


def routes(database: Database, counting: Counting, latest_scan_limit: int) -> APIRouter:
    """`/v1/scores` and `/v1/answers`."""
    router = APIRouter(prefix="/v1")

    @router.get("/scores", summary="One rolling score", tags=["scores"])
    async def read_score(  # noqa: PLR0917 - the parameters of the address
        key: Reader,
        metric: Annotated[str, Query(description="nps, csat, ces or enps")] = "nps",
        scale: Annotated[str | None, Query(description="The metric's default scale if absent")] = None,
        window: Annotated[str, Query(description="7d, 30d, 90d or 365d of elapsed seconds")] = "30d",
        segment: Annotated[str, Query(max_length=400, description="As country:NL; several with commas")] = "",
        touchpoint: Annotated[str, Query(max_length=64)] = "",
        policy: Annotated[
            Literal["all", "latest"] | None, Query(description="The store's own if absent")
        ] = None,
        as_of: Annotated[str | None, Query(description="RFC 3339 with offset; now if absent")] = None,
    ) -> ScoreOut:
        """Counts, score and interval over (as_of − window, as_of], exact to the second on event time."""
        rules = _rules(counting, key)
        try:
            length, known = parse_window(window), scale_for(metric, scale)
        except UnknownWindow:
            raise _wrong("window", f"must be one of {', '.join(WINDOWS)}") from None
        except UnknownScale:
            raise _wrong(
                "metric", f"must be one of {', '.join(Metric)}, with a scale of that metric"
            ) from None
        now = datetime.now(UTC)
        moment = _moment(as_of, now)
        series = _series(rules, key.store, (known.metric, known.id), segment, touchpoint)
        chosen = policy or rules.config.policy
        async with database.snapshot() as session:
            db = await driver(session)
            found = await counting.book.find(db, series)
            tally = scores.NOTHING
            if found and chosen == "latest" and as_of is not None:
                past = Window.ending(moment, length)
                try:
                    tally = await scores.tally_latest_in_the_past(
                        db, key.store, found, past, metric=(known.metric, known.id), limit=latest_scan_limit
                    )
                except scores.TooManyAnswers:
                    raise _wrong(
                        "as_of",
                        f"policy=latest in the past reads every answer, at most {latest_scan_limit}: "
                        "take a shorter window, or policy=all",
                    ) from None
            elif found:
                part = split(moment, length, rules.zone)
                tally = await scores.tally(db, key.store, found, part, latest=chosen == "latest")
        figure = shown(known.metric, tally, rules.config)
        return ScoreOut(
            store=key.store,
            metric=known.metric,
            scale=known.id,
            policy=chosen,
            segment=series.segment,
            touchpoint=series.touchpoint,
            window=window,
            as_of=moment,
            **figure.model_dump(),
        )

    @router.get("/answers/{response_id}", summary="The record of one answer", tags=["answers"])
    async def read_answer(
        key: Reader, response_id: Annotated[str, Path(min_length=1, max_length=256)]
    ) -> AnswerOut:
        """Whether it counts, its present score, and how many rival bodies came under its id."""
        async with database.snapshot() as session:
            found = await answers.read_answers(await driver(session), [(key.store, response_id)])
        answer = found.get((key.store, response_id))
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


def _status(answer: Answer) -> Literal["counted", "test", "retracted", "awaiting_original"]:
    if answer.retracted:
        return "retracted"
    if answer.body is None:
        return "awaiting_original"
    return "test" if answer.body.test else "counted"


def _rules(counting: Counting, key: Key) -> StoreRules:
    rules = counting.stores.get(key.store)
    if rules is None:
        raise Problem(404, "not-found", "The configuration no longer has this key's store.")
    return rules


def _series(rules: StoreRules, store: str, metric: tuple[str, str], segment: str, touchpoint: str) -> Series:
    cut = rules.cuts.declared(segment, touchpoint)
    if cut is None:
        raise Problem(
            422,
            "not-declared",
            "This combination has no score. Declare it in closeloop.yaml, then run closeloop rebuild.",
            errors=[{"pointer": "/query/segment", "detail": "is not declared"}],
            declared=rules.cuts.listing(),
        )
    return Series(store, metric[0], metric[1], cut.segment, cut.touchpoint)


def _moment(as_of: str | None, now: datetime) -> datetime:
    if as_of is None:
        return now
    try:
        # A plus sign that was not escaped arrives as a space.
        moment = datetime.fromisoformat(as_of.replace(" ", "+"))
    except ValueError:
        raise _wrong("as_of", "must be a time as 2026-11-22T10:00:00+01:00") from None
    if moment.tzinfo is None:
        raise _wrong("as_of", "needs an offset, as +01:00 or Z")
    if moment > now:
        raise _wrong("as_of", "must not lie in the future")
    return moment.astimezone(UTC)


def _wrong(parameter: str, detail: str) -> Problem:
    return Problem(
        422,
        "invalid",
        f"{parameter} {detail}.",
        errors=[{"pointer": f"/query/{parameter}", "detail": detail}],
    )
