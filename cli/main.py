"""The command `closeloop`. A new subcommand is one line in `COMMANDS`.

Each names a function (`closeloop NAME`) or a `typer.Typer` (`closeloop NAME COMMAND`). Its module is
imported only when that subcommand, or the whole help, is asked for.
"""

import sys
from importlib import import_module
from typing import Any

import typer
from rich.console import Console

from cli import CommandError

COMMANDS = {
    "up": "cli.up:up",
    "status": "cli.status:status",
    "doctor": "cli.doctor:doctor",
    "migrate": "cli.migrate:migrate",
    "topics": "cli.topics:app",
    "keys": "cli.keys:app",
    "users": "cli.users:app",
    "config": "cli.config:app",
    "alerts": "cli.alerts:app",
    "dead": "cli.dead:app",
    "rebuild": "cli.rebuild:app",
    "erase": "cli.erase:erase",
    "verify": "cli.verify:verify",
    "republish": "cli.republish:app",
    "deliveries": "cli.deliveries:app",
    "demo": "cli.demo.command:demo",
    "listen": "cli.listen:listen",
    "observe": "cli.observe:observe",
}


def main() -> None:
    """Run the command; an expected failure is one sentence and what to do, exit code 1."""
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    try:
        build([name] if name in COMMANDS else _importable())(prog_name="closeloop")
    except Exception as error:
        # CommandError, or an error of a part that has a remedy of its own.
        remedy = getattr(error, "remedy", None)
        if remedy is None:
            raise
        _explain(str(error), remedy)
        sys.exit(1)


def build(names: list[str]) -> typer.Typer:
    """The application with these subcommands."""
    app = typer.Typer(
        help="Closeloop: turns survey answers into action while they still matter.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback()(_root)
    for name in names:
        target = _load(name)
        if isinstance(target, typer.Typer):
            app.add_typer(target, name=name)
        else:
            app.command(name)(target)
    return app


def _importable() -> list[str]:
    """The subcommands for the whole help: an image for production lacks what some of them need."""
    names = []
    for name in COMMANDS:
        try:
            _load(name)
        except CommandError:
            continue
        except ModuleNotFoundError as error:
            if not (error.name or "").startswith("deploy."):  # which is not all in the image either
                raise
            continue
        names.append(name)
    return names


def _load(name: str) -> Any:
    module, _, attribute = COMMANDS[name].partition(":")
    try:
        return getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] in ("cli", "deploy", "services", "shared"):
            raise
        raise CommandError(
            f"`closeloop {name}` needs the package {error.name}, which is not installed",
            remedy="It is about the copy of `make run`, whose parts are in requirements/local.txt. "
            "`closeloop doctor` works without them.",
        ) from error


def _say_version(asked: bool) -> None:
    if asked:
        from shared.service.serving import VERSION  # noqa: PLC0415 - it takes the web framework along

        typer.echo(VERSION)
        raise typer.Exit


def _root(
    version: bool = typer.Option(
        False, "--version", is_eager=True, callback=_say_version, help="Say which release this is."
    ),
) -> None:
    # Without a callback an application of one subcommand would take its name as an argument.
    pass


def _explain(message: str, remedy: str) -> None:
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    console.print(f"closeloop: {message}", style="red", markup=False)
    if remedy:
        console.print(remedy, markup=False)


if __name__ == "__main__":
    main()
