"""Damage and garbage on real processes: whoever has it refuses and says what and where, and the others go on."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from lab.client.client import Address, connect
from lab.client.links import Endpoint, Link, open_endpoint
from lab.cluster.errors import ClusterError
from lab.targets.own import OwnTarget

pytestmark = pytest.mark.process

WRITES = 20
MARK = b"value 7 of"  # in the middle of what was flushed: damage there is no torn tail


@pytest.fixture
def target(tmp_path: Path) -> Iterator[OwnTarget]:
    target = OwnTarget(durability="fsync", data_dir=tmp_path)
    try:
        target.start()
        yield target
    finally:
        target.stop()
    assert list(tmp_path.iterdir()) == []


def a_server(target: OwnTarget, role: str) -> int:
    return min(server.id for server in target.servers() if server.role == role)


def damage_log(target: OwnTarget, server: int) -> Path:
    """Flip the bits of one byte of a transaction in the server's log; returns the file."""
    for log in (target.cluster.folder / "data" / str(server)).rglob("log.*"):
        data = bytearray(log.read_bytes())
        if (offset := data.find(MARK)) >= 0:
            data[offset] ^= 0xFF
            log.write_bytes(data)
            return log
    raise AssertionError(f"server {server} has not logged {MARK!r}")


@pytest.mark.covers("Z-6")
def test_a_damaged_log_is_named_with_file_and_byte_and_the_others_serve_on(target: OwnTarget) -> None:
    cluster, damaged = target.cluster, a_server(target, "follower")
    with connect(target.connector(0, [a_server(target, "leader")]).text) as client:
        client.create("/damage")
        for number in range(WRITES):
            client.set("/damage", b"value %d of many" % number)
        target.replicas([])  # everybody has all of it
        cluster.stop_server(damaged)
        log = damage_log(target, damaged)
        cluster.start_server(damaged)
        refused = rf"^server {damaged} ended: exit status 1: .*{log}: byte \d+: body checksum .* had been flushed.*$"
        with pytest.raises(ClusterError, match=refused):
            cluster.wait(lambda: False, 30.0, lambda: "nobody ended")
        client.set("/damage", b"without it")
        assert client.read("/damage", sync=True) == b"without it"
    assert damaged not in cluster.pids()


@pytest.mark.covers("Z-6", "X-26", "X-29")
def test_any_other_damaged_file_is_named_and_once_it_is_whole_again_the_server_serves(target: OwnTarget) -> None:
    cluster, damaged = target.cluster, a_server(target, "follower")
    folder = cluster.folder / "data" / str(damaged)
    with connect(target.connector(0, [a_server(target, "leader")]).text) as client:
        client.create("/damage")
        for number, name in enumerate(("acceptedEpoch", "currentEpoch", "CURRENT", "snapshot.*")):
            cluster.stop_server(damaged)
            (path,) = folder.rglob(name)
            whole = path.read_bytes()
            path.write_bytes(bytes([whole[0] ^ 2]) + whole[1:])
            cluster.start_server(damaged)
            with pytest.raises(ClusterError, match=rf"^server {damaged} ended: exit status 1: .*{path}: "):
                cluster.wait(lambda: False, 30.0, lambda: "nobody ended")
            client.set("/damage", b"%d" % number)
            assert client.read("/damage", sync=True) == b"%d" % number
            path.write_bytes(whole)
            cluster.start_server(damaged)
            cluster.wait_until_serving()


def test_a_client_that_sends_garbage_loses_its_link_and_nobody_else_does(target: OwnTarget) -> None:
    server = a_server(target, "leader")
    with connect(target.connector(0, [server]).text) as client:
        client.create("/calm")
        hostile = open_endpoint(msgspec.json.decode(target.connector(1, [server]).text, type=Address).fd)
        lost = list[int]()
        hostile.on_down = lambda link: lost.append(link.server)
        target.cluster.wait(lambda: server in look(hostile), 30.0, lambda: "no link", ask_every_s=0.01)
        channel = hostile.links[server].channel
        channel.send(b"\x91\x93\x04\x01\xa2/\xff")  # a path that is no UTF-8
        channel.flush()
        target.cluster.wait(lambda: look(hostile) is not None and bool(lost), 30.0, lambda: "still linked", 0.01)
        assert lost == [server]
        client.set("/calm", b"still")
        assert client.read("/calm", sync=True) == b"still"
        assert client.server == server
        hostile.close()


def look(endpoint: Endpoint) -> dict[int, Link]:
    endpoint.wait(0)
    return endpoint.links
