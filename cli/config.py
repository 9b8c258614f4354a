"""`closeloop config check`: every mistake of `closeloop.yaml`, with its line."""

import json
from dataclasses import asdict
from pathlib import Path

import typer
from pydantic import BaseModel

from cli import CommandError, product
from services.notifier.channels.outlets import template_mistakes
from services.notifier.settings import Alerts, mistakes_across
from services.segmenter.tiers.settings import Loyalty
from shared.config import Config, ConfigError, load
from shared.config.loading import Mistake

app = typer.Typer(help="The file with the stores and their rules.", no_args_is_help=True)

# Each service checks its own part of a store, by the same model with which it boots.
SECTIONS: dict[str, type[BaseModel]] = {"loyalty": Loyalty, "alerts": Alerts}


@app.callback()
def _root() -> None:
    # Without it Typer would drop the word `check`, as long as there is no second command.
    pass


@app.command()
def check(
    path: Path = typer.Argument(None, help="By default CLOSELOOP_CONFIG, else closeloop.yaml."),
    as_json: bool = typer.Option(False, "--json", help="The mistakes or the stores, as JSON."),
) -> None:
    """Read the file as the services do at boot. Exit code 1 and every mistake with its line otherwise."""
    path = path or product.config_path()
    try:
        config = load(path)
        mistakes = mistakes_of_sections(config)
    except ConfigError as error:
        config, mistakes = None, error.mistakes
    if as_json:
        typer.echo(json.dumps(_as_json(path, config, mistakes), indent=2))
    elif config and not mistakes:
        _summary(config)
    else:
        for mistake in mistakes:
            typer.echo(f"{path}, {mistake}")
    if mistakes:
        many = "one mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        raise CommandError(f"{path} has {many}", remedy="No service starts with it; the running ones go on.")


def mistakes_of_sections(config: Config) -> list[Mistake]:
    """What the services would refuse in their own sections, in the order of the lines."""
    found: list[Mistake] = []
    for store in config.stores:
        for name, model in SECTIONS.items():
            try:
                section = config.section(store, name, model)
            except ConfigError as error:
                found += error.mistakes
                continue
            if isinstance(section, Alerts):
                found += mistakes_across(config, store, section)
                found += template_mistakes(config, store, section)
    return sorted(found, key=lambda mistake: mistake.line)


def _as_json(path: Path, config: Config | None, mistakes: list[Mistake]) -> dict[str, object]:
    return {
        "path": str(path),
        "ok": not mistakes,
        "mistakes": [asdict(mistake) for mistake in mistakes],
        "version": config.version if config else None,
        "stores": sorted(config.stores) if config else [],
    }


def _summary(config: Config) -> None:
    typer.echo(f"{config.path} is ok (version {config.version}).")
    for key, store in config.stores.items():
        loyalty = config.section(key, "loyalty", Loyalty)
        alerts = config.section(key, "alerts", Alerts)
        together = [" x ".join(names) for names in store.combinations]
        cuts = [*store.segments, *(["touchpoint"] if store.touchpoints else []), *together]
        channels = [name if channel.on else f"{name} (off)" for name, channel in alerts.channels.items()]
        typer.echo(f"\n{key}: {store.name}, {store.timezone}, {store.currency}")
        for what, names in (
            ("scores by", cuts),
            ("windows", [*store.windows, f"policy {store.policy}"]),
            ("tiers", [tier.name for tier in loyalty.tiers]),
            ("alert rules", [rule.name for rule in alerts.rules]),
            ("teams", list(alerts.teams)),
            ("escalation", [step.name for step in alerts.escalation]),
            ("channels", channels),
        ):
            typer.echo(f"  {what:<12} {', '.join(names) or 'none'}")
