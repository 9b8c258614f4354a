import os

import pytest

from tests.deploy.built_services import Service, built
from tests.deploy.manifests import SERVICES


@pytest.fixture(scope="session")
async def code() -> dict[str, Service]:
    """The four services, built as they are at boot; nothing is connected."""
    return {name: built(name) for name in SERVICES}


@pytest.fixture
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No variable of this machine gets into the settings."""
    for name in list(os.environ):
        if name not in ("PATH", "HOME"):
            monkeypatch.delenv(name)
    return monkeypatch
