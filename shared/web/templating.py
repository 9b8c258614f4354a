"""The templates' environment: everything is escaped, and a name that is not there is an error."""

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from shared.pages import wording
from shared.pages.assets import Assets


def environment(folders: Sequence[Path], assets: Assets) -> Environment:
    """The first folder that has a template wins."""
    made = Environment(
        loader=FileSystemLoader([str(folder) for folder in folders]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        cache_size=-1,
    )
    made.globals.update(wording.FUNCTIONS)
    made.globals["asset"] = assets.address
    return made
