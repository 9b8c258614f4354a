"""`closeloop config check`: every mistake of `closeloop.yaml`, with its line."""

import json
from dataclasses import asdict
from pathlib import Path

import typer

from cli import CommandError, product
from services.notifier import operations as notifier
from services.segmenter import operations as segmenter
from shared.config import Config, ConfigError, load
from shared.config.loading import Mistake

app = typer.Typer(help="The file with the stores and their rules.", no_args_is_help=True)

# The services that have a section of their own in each store: they check it as they do at their start.
SERVICES = (segmenter, notifier)


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
    """What the services would refuse at their start in their own sections, in the order of the lines."""
    mistakes = [
        mistake
        for store in config.stores
        for service in SERVICES
        for mistake in service.section_mistakes(config, store)
    ]
    return sorted(mistakes, key=lambda mistake: mistake.line)


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
        together = [" x ".join(names) for names in store.combinations]
        cuts = [*store.segments, *(["touchpoint"] if store.touchpoints else []), *together]
        typer.echo(f"\n{key}: {store.name}, {store.timezone}, {store.currency}")
        summary = {"scores by": cuts, "windows": [*store.windows, f"policy {store.policy}"]}
        for service in SERVICES:
            summary |= service.section_summary(config, key)
        for label, names in summary.items():
            typer.echo(f"  {label:<12} {', '.join(names) or 'none'}")
