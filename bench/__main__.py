"""python -m bench [PART...] [--quick] [--json FILE]"""

import argparse
import json
import logging
import signal
import sys
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from rich.console import Console

from bench import machine
from bench.report import Part, show
from bench.stage import Failed
from deploy.local.errors import LocalStackError

_BESIDE = "Beside these: python -m bench.walk (the files that an answer enters), python -m bench.storage."
PARTS = ("collector", "scorer", "query", "cases", "latency", "memory")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the parts that were asked for; 1 when one could not be run or did not do its work."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__, epilog=_BESIDE)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"any of {', '.join(PARTS)}; all by default")
    parser.add_argument("--quick", action="store_true", help="shorter, and without the 10,000,000 answers")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write everything that was found there, too"
    )
    arguments = parser.parse_args(argv)
    unknown = set(arguments.parts) - set(PARTS)
    if unknown:
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(143)
    )  # stop what runs and remove the folder, as Ctrl-C does
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # a new topic has no leader for a moment
    console = Console(width=None if sys.stdout.isatty() else 132)
    about = machine.describe()
    console.print(
        f"{about['cores']} cores, {about['memory_gb']} GB, {about['system']}, Python {about['python']}, "
        f"load average before {about['load_average_before']}{', quick' if arguments.quick else ''}",
        highlight=False,
    )
    console.print("Absolute figures move with the machine and with what else runs on it; ratios hold.\n")
    parts, failed = [], []
    for name in arguments.parts or PARTS:
        started = time.monotonic()
        run: Callable[..., Part] = import_module(f"bench.{name}").run
        try:
            part = run(quick=arguments.quick)
        except (Failed, LocalStackError) as error:
            console.print(f"{name}: {error}", style="red", markup=False)
            failed.append(name)
            continue
        part.notes.append(
            f"took {time.monotonic() - started:.0f} s; load average after: {machine.load_average():.1f}"
        )
        parts.append(part)
        show(part, console)
    if arguments.json:
        report = {"machine": about, "quick": arguments.quick, "parts": [part.as_json() for part in parts]}
        arguments.json.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    wrong = [part.name for part in parts if not all(part.checks.values())]
    return 1 if failed or wrong else 0


if __name__ == "__main__":
    sys.exit(main())
