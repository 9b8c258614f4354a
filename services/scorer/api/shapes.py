"""What goes in and out, with its documentation and examples."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.feedback.metrics import Metric
from shared.feedback.windows import WINDOWS
from shared.http import Text

PROBLEMS: dict[int | str, dict[str, Any]] = {
    401: {"description": "No key, or an unknown one"},
    403: {"description": "The key lacks the scope scores:read"},
    404: {"description": "Nothing of that name in the key's store"},
    422: {
        "description": "A parameter that does not fit, or a combination that is not declared: see `declared`"
    },
}


class Asked(BaseModel):
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
    """A rolling score. Fewer answers than the store's minimum: `n` and everything of it is null."""

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
                    "margin": 33.5,
                    "ci95": [-11.7, 55.2],
                    "confidence": "low",
                    "band": "good",
                    "mean": 7.85,
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
    ci95: tuple[float, float] | None = Field(description="Adjusted Wald for nps and enps, Wilson else")
    confidence: Literal["suppressed", "low", "normal"]
    band: str | None
    mean: float | None = Field(description="Mean of the raw scores, on the scale")


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
