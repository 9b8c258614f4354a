"""A service of nothing but the runtime: `toy_service.py <port> [fail] [look=<file that must be there>]`."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI

from shared import config as configuration
from shared.db import Session
from shared.events import Received
from shared.events.responses import SurveySent
from shared.events.topics import RESPONSES
from shared.http import standard_app
from shared.http.protocol import protocol_for
from shared.ops.settings import ListenSettings, PlatformSettings
from shared.service.runtime import Runtime
from shared.service.serving import Loops, serve


class Failing:
    async def run(self) -> None:
        await asyncio.sleep(0.2)
        raise KeyError("somebody's name")

    async def stop(self) -> None: ...


async def ignore(session: Session, batch: Sequence[Received]) -> None:
    """A handler with nothing to do."""


def _look_at(file: Path) -> Callable[[], Awaitable[str]]:
    async def look() -> str:
        return file.read_text()

    return look


def build(loops: Loops) -> FastAPI:
    platform, listen = PlatformSettings(), ListenSettings(port=int(sys.argv[1]))
    config = configuration.load(platform.closeloop_config)
    runtime = Runtime("scorer", platform, listen, config, loops=loops)
    runtime.consume((RESPONSES,), {SurveySent: ignore})
    runtime.relay("toy-relay")
    if "fail" in sys.argv:
        runtime.job("failing", Failing())

    for argument in sys.argv:
        if argument.startswith("look="):
            runtime.look_first("a look", _look_at(Path(argument.removeprefix("look="))))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.keyring = runtime.keyring
        async with runtime.running():
            yield

    return standard_app("scorer", "", lifespan=lifespan, listen=listen, health=runtime.health)


if __name__ == "__main__":
    sys.exit(
        serve(
            "toy",
            build,
            protocol=protocol_for(PlatformSettings(), ListenSettings()),
            host="127.0.0.1",
            port=int(sys.argv[1]),
            log_level="INFO",
            stop_grace_seconds=8,
        )
    )
