"""The port of a part: the one that everybody would look at, and after that always the same."""

import socket
from pathlib import Path

import pytest

from deploy.local import ports


def listening() -> socket.socket:
    server = socket.create_server((ports.LOOPBACK, ports.choose()))
    server.listen()
    return server


def test_is_the_wanted_one_while_it_is_free(tmp_path: Path) -> None:
    wanted = ports.choose()
    assert ports.kept(tmp_path / "port", rather=wanted) == wanted


def test_is_another_one_where_somebody_listens_there(tmp_path: Path) -> None:
    with listening() as server:
        taken = server.getsockname()[1]
        assert ports.kept(tmp_path / "port", rather=taken) != taken


def test_stays_what_it_was(tmp_path: Path) -> None:
    first = ports.kept(tmp_path / "port")
    assert ports.kept(tmp_path / "port", rather=first + 1) == first


def test_is_in_the_range_that_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOSELOOP_ENGINE_PORTS", "29990-29999")
    assert {ports.choose() for _ in range(50)} <= set(range(29_990, 30_000))
