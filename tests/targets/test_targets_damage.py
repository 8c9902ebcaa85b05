"""A server whose disk lost what was flushed: it refuses to serve and says what and where, and the others go on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.client.client import connect
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
