"""`closeloop demo`: a few months of history at once, then live traffic until Ctrl-C."""

import asyncio
import heapq
import itertools
import random
import secrets
import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cli import CommandError, product
from cli.demo.journeys import Step
from cli.demo.sending import Sender
from cli.demo.shop import Shop
from cli.demo.world import World
from cli.listen import receiving
from deploy.local.home import Home

AT_ONCE_IN_HISTORY = 24
AT_ONCE_LIVE = 32
REPORT_EVERY_SECONDS = 10.0


def demo(
    *,
    days: int = typer.Option(120, min=0, max=3650, help="Days of history to send first; 0 for none."),
    answers_a_day: float = typer.Option(60, "--answers-a-day", min=1, help="About so many in the history."),
    rate: float = typer.Option(5, min=0.01, max=1000, help="Customers a second in the live traffic."),
    once: bool = typer.Option(False, "--once", help="Send the history and end."),
    seed: int = typer.Option(1, help="The same seed makes the same customers and the same history."),
    listen: bool = typer.Option(True, help="Receive the alerts as well and print them."),
) -> None:
    """Send lifelike traffic to the product that `make run` started.

    Several countries and touchpoints, orders, repeat answers, a bad week of the courier in Germany.
    History older than a day alerts nobody. A second start goes on with the same shop and sends what is new.
    """
    running = product.demo()
    console = Console(soft_wrap=True, highlight=False)
    world = World(Home.from_environment().root / "demo-traffic.json", running["secret_key"], seed)
    shop = Shop(seed, world.began)
    with ExitStack() as stack:
        if listen:
            try:
                url = stack.enter_context(receiving(lambda line: console.print(line, markup=False)))
                console.print(f"Receiving alerts on {url}", markup=False)
            except CommandError as error:
                console.print(f"{error}. {error.remedy}", markup=False)
        try:
            asyncio.run(_demo(running, shop, world, console, _Options(days, answers_a_day, rate, once, seed)))
        except KeyboardInterrupt:
            console.print("Stopped")
        except ExceptionGroup as group:
            raise _reason(group) from group


@dataclass(frozen=True, slots=True)
class _Options:
    """The options of the command."""

    days: int
    answers_a_day: float
    rate: float
    once: bool
    seed: int


async def _demo(
    running: dict[str, Any], shop: Shop, world: World, console: Console, options: _Options
) -> None:
    if options.days:
        await _send_history(running, shop, world, console, options)
    if not options.once:
        rng = random.Random(f"{options.seed}/live/{world.next_run()}")
        await _send_live(running, shop, console, options, rng)


async def _send_history(
    running: dict[str, Any], shop: Shop, world: World, console: Console, options: _Options
) -> None:
    now = datetime.now(UTC)
    first = world.began - timedelta(days=options.days)
    steps = world.missing(shop.history(first, now, options.answers_a_day), options.days)
    started = time.monotonic()
    async with Sender(running, at_once=AT_ONCE_IN_HISTORY) as sender:
        columns = (TextColumn("History"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            bar = progress.add_task("", total=len(steps))
            line = iter(steps)

            async def post() -> None:
                for step in line:
                    await sender.send(step)
                    progress.advance(bar)

            async with asyncio.TaskGroup() as group:
                for _ in range(sender.at_once):
                    group.create_task(post())
    if not sender.outcomes["unanswered"]:
        world.sent(options.days, now)
    took = time.monotonic() - started
    summary = _summary(sender) if steps else "is there already"
    console.print(f"History of {options.days} days: {summary}, in {took:.0f} s", markup=False)


async def _send_live(
    running: dict[str, Any], shop: Shop, console: Console, options: _Options, rng: random.Random
) -> None:
    run = secrets.token_hex(3)  # ids of an earlier run must not be met again
    console.print(f"Live traffic, {options.rate:g} customers a second; Ctrl-C ends it", markup=False)
    async with Sender(running, at_once=AT_ONCE_LIVE) as sender, asyncio.TaskGroup() as group:
        waiting: list[tuple[datetime, int, Step]] = []
        free = asyncio.Semaphore(AT_ONCE_LIVE)
        reported_at = time.monotonic()
        order = itertools.count()

        async def post(steps: list[Step]) -> None:
            try:
                for step in steps:
                    await sender.send(step)
            finally:
                free.release()

        for number in itertools.count():
            now = datetime.now(UTC).replace(microsecond=0)
            steps = list(shop.visit(rng, f"{run}-{number}", now))
            for step in steps:
                if step.at > now:
                    heapq.heappush(waiting, (step.at, next(order), step))
            due = [step for step in steps if step.at <= now]
            while waiting and waiting[0][0] <= now:
                due.append(heapq.heappop(waiting)[2])
            await free.acquire()
            group.create_task(post(due))
            if time.monotonic() - reported_at >= REPORT_EVERY_SECONDS:
                reported_at = time.monotonic()
                console.print(f"{time.strftime('%H:%M:%S')} sent so far: {_summary(sender)}", markup=False)
            await asyncio.sleep(rng.expovariate(options.rate))


def _summary(sender: Sender) -> str:
    counts = ", ".join(f"{count} {outcome}" for outcome, count in sender.outcomes.items())
    return f"{counts} (first refusal: {sender.refusal})" if sender.refusal else counts or "nothing"


def _reason(error: Exception) -> Exception:
    """The first of the errors that several senders had at once."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error
