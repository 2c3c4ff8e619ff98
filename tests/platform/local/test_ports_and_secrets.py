"""What a platform keeps from one run to the next: its ports and its secrets."""

from __future__ import annotations

import socket
from pathlib import Path
from random import Random

import pytest
from romanhub.local import ports, secrets
from romanhub.local.environments import SetupError

from tests.support.ports import free_port


def test_the_ports_stay_the_same_from_run_to_run(tmp_path: Path) -> None:
    public = free_port()
    first = ports.choose(tmp_path / "ports.json", public)
    assert len(set(first.model_dump().values())) == len(first.model_dump())
    assert ports.choose(tmp_path / "ports.json", public) == first


def test_a_port_that_was_taken_meanwhile_is_replaced_and_the_others_stay(tmp_path: Path) -> None:
    public = free_port()
    first = ports.choose(tmp_path / "ports.json", public)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", first.archive))
        taken.listen()
        second = ports.choose(tmp_path / "ports.json", public)
    assert second.archive != first.archive
    assert second.model_copy(update={"archive": first.archive}) == first


def test_a_new_port_is_none_that_an_outgoing_connection_may_be_given() -> None:
    first = ports.unused([], Random(1))
    assert first < int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    promised = ports.unused([first], Random(1))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", first))
        taken.listen()
        assert ports.unused([], Random(1)) == promised != first


def test_a_taken_public_port_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SetupError, match=rf"Port {port} is taken.*ROMANHUB_PORT"):
            ports.choose(tmp_path / "ports.json", port)


def test_secrets_are_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    first = secrets.make(path)
    assert secrets.load(path) == secrets.make(path) == first
    assert path.stat().st_mode & 0o777 == 0o600
    values = list(first.model_dump().values())
    assert len(set(values)) == len(values)
    assert secrets.make(tmp_path / "other.json") != first
