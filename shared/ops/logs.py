"""JSON logs: one fact a line, with fields from a list, and no personal text."""

import logging
import sys
from typing import Any

import orjson
import structlog

# The fields that a log line may have, so that nobody logs a customer's comment by accident. A field that is
# not declared here is left out of the line; in tests it raises (tests/conftest.py).
# fmt: off
FIELDS = frozenset({
    "attempt", "batch", "case_id", "channel", "component", "consumer", "correlation_id", "count",
    "delivery_id", "detail", "error", "error_type", "event", "events", "group", "host", "job", "key_id",
    "kind", "lag", "lease", "level", "logger", "method", "name", "notice_id", "offset", "outcome",
    "partition", "partitions", "pid", "port", "reason", "records", "response_id", "revision", "route", "rule",
    "schema", "seconds", "seq", "service", "settings", "signal", "state", "status", "store", "stores", "task",
    "time", "topic", "user_id", "version", "week",
})
# fmt: on


# What structlog hands from one processor to the next beside the fields, and takes away at the end.
_BAGGAGE = frozenset({"_record", "_from_structlog", "exc_info"})


class UndeclaredField(Exception):
    """A line of the log has a field that is not in `FIELDS`."""


def refuse_undeclared_fields(_: Any, __: str, line: dict[str, Any]) -> dict[str, Any]:
    """A processor for the structlog of tests. Raises UndeclaredField; a service leaves the field out."""
    if undeclared := line.keys() - FIELDS - _BAGGAGE:
        raise UndeclaredField(f"{line.get('event')}: {', '.join(sorted(undeclared))}")
    return line


def _leave_out_undeclared_fields(_: Any, __: str, line: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in line.items() if name in FIELDS or name in _BAGGAGE}


def _error_as_type_and_place(_: Any, __: str, event: dict[str, Any]) -> dict[str, Any]:
    """Replace an exception by its type and the line that raised it: its text may quote a customer."""
    error = event.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()[1]
    elif isinstance(error, tuple):  # as the standard library hands it on
        error = error[1]
    if isinstance(error, BaseException):
        event["error_type"] = type(error).__name__
        place, frame = "", error.__traceback__
        while frame is not None:
            place = f"{frame.tb_frame.f_code.co_filename.rsplit('/', 2)[-1]}:{frame.tb_lineno}"
            frame = frame.tb_next
        event["error"] = place
    return event


def configure(service: str, level: str = "INFO") -> None:
    """Send every log line of this process, also the libraries', to standard output as JSON."""

    def stamp(_: Any, __: str, event: dict[str, Any]) -> dict[str, Any]:
        event["service"] = service
        return event

    shared_steps: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        stamp,
        _error_as_type_and_place,
        _leave_out_undeclared_fields,
    ]
    structlog.configure(
        processors=[
            *shared_steps,
            structlog.processors.JSONRenderer(serializer=lambda value, **_: orjson.dumps(value, default=str)),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level)),
        logger_factory=structlog.BytesLoggerFactory(sys.stdout.buffer),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared_steps],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(
                    serializer=lambda value, **_: orjson.dumps(value, default=str).decode()
                ),
            ],
        )
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # aiokafka warns at each lost connection, uvicorn logs each request: metrics tell both better.
    for noisy, bound in {
        "aiokafka": "CRITICAL",
        "uvicorn": "WARNING",
        "httpx": "WARNING",
        "httpcore": "WARNING",
        "alembic": "WARNING",
        "asyncio": "ERROR",
    }.items():
        logging.getLogger(noisy).setLevel(bound)


def log(name: str) -> Any:
    """A logger; call it as `log.info("case.opened", case_id=…)`."""
    return structlog.get_logger(component=name)
