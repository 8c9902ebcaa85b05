"""The capacity budget against the counters of real servers."""

import time
from pathlib import Path

import pytest

from lab.client.client import connect
from lab.report.budget import FRAME_BYTES, PREFIX_BYTES, Write, sent_per_batch
from lab.targets.own import OwnTarget

WRITES = 300
TICK_MS = 100
PING_BYTES_MAX = FRAME_BYTES + PREFIX_BYTES + 20


@pytest.mark.process
@pytest.mark.parametrize(("voters", "observers"), [(3, 0), (3, 2), (5, 0)])
def test_servers_send_what_the_formula_says_and_pings(tmp_path: Path, voters: int, observers: int) -> None:
    """One write after the other: each is a batch.  What time brings besides is bounded by how long it took."""
    target = OwnTarget(voters=voters, observers=observers, durability="buffered", data_dir=tmp_path, tick_ms=TICK_MS)
    target.start()
    try:
        roles = {server.id: server.role for server in target.servers()}
        leader = next(server for server, role in roles.items() if role == "leader")
        with connect(target.connector(0, [leader]).text) as client:
            client.create("/bench")
            client.create("/bench/00000", b"")
            target.replicas([])  # everybody has applied that: nothing of it is under way
            began, before = time.monotonic(), {usage.server: usage for usage in target.usage()}
            for _ in range(WRITES):
                client.set("/bench/00000", bytes(100))
            target.replicas([])
            after, took_s = {usage.server: usage for usage in target.usage()}, time.monotonic() - began
    finally:
        target.stop()
    pings = (took_s * 1e3 / TICK_MS + 2) * (voters + observers - 1)  # the leader's to everybody; an echo each
    low, high = (
        sent_per_batch(Write(value_bytes=100, cxid=cxid, version=version), 1, voters, observers)
        for cxid, version in ((3, 1), (WRITES + 3, WRITES))
    )
    frames = {server: after[server].frames_sent - before[server].frames_sent for server in roles}
    sizes = {server: after[server].bytes_sent - before[server].bytes_sent for server in roles}
    for server, role in roles.items():
        assert frames[server] <= WRITES * high[role].frames + pings, role
        assert sizes[server] <= WRITES * high[role].bytes + pings * PING_BYTES_MAX, role
    assert frames[leader] >= WRITES * low["leader"].frames
    assert sizes[leader] >= WRITES * low["leader"].bytes
    acks = sum(frames[server] for server, role in roles.items() if role == "follower")
    assert acks >= WRITES * (voters // 2), "a quorum's; of the others, one may answer for several batches"
