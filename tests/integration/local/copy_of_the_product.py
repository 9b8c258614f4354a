"""Runs `Product` with stand-in services and without engines, as `closeloop up` does with its own.

A program of its own, because the tests kill it, signal it and start it twice.
"""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.local.demo_file import Credentials
from deploy.local.errors import LocalStackError
from deploy.local.home import SERVICES, Home
from deploy.local.part import Part
from deploy.local.product import Product
from deploy.local.services import ServiceProcess

STANDIN = str(Path(__file__).with_name("standin.py"))


async def prepare(**given: object) -> Credentials:
    known = given["known"]
    return known if isinstance(known, Credentials) else Credentials("demo", "pub_1", "sec_1", "user", "pass")


def stand_ins(home: Home, environment: Mapping[str, str]) -> Sequence[Part]:
    return [
        ServiceProcess(
            name,
            home=home,
            environment=environment,
            command=[sys.executable, STANDIN, str(home.port(name))],
        )
        for name in SERVICES
    ]


def main() -> None:
    home = Home.from_environment()
    try:
        with home.locked():
            product = Product(
                home,
                say=lambda text: print(text, flush=True),
                show=lambda name, line: print(f"{name} | {line}", flush=True),
                prepare=prepare,
                services=stand_ins,
            )
            asyncio.run(product.run(lambda _: print("READY", flush=True)))
    except LocalStackError as error:
        sys.exit(f"{error}. {error.remedy}")


if __name__ == "__main__":
    main()
