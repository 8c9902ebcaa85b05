"""Real servers under load: nothing acknowledged is lost when they are killed, and who comes back is brought level."""

import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lab.client.history import ReplicaState
from lab.client.links import open_endpoint
from lab.client.pool import SessionPool
from lab.cluster.errors import ClusterError
from lab.faults import Crash, FillDisk, FreeDisk, Freeze, Heal, Partition, Restart, Thaw
from lab.service.requests import Create, Done, SetData, decode_replies
from lab.targets.own import OwnTarget
from lab.zab.messages import Phase
from lab.zab.zxid import epoch_of

pytestmark = pytest.mark.process
DEADLINE_S = 60.0
KEYS = [f"/k{number}" for number in range(20)]


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Callable[..., OwnTarget]]:
    made: list[OwnTarget] = []

    def make(**settings: Any) -> OwnTarget:
        made.append(OwnTarget(**{"durability": "buffered", "data_dir": tmp_path, **settings}))
        made[-1].start()
        return made[-1]

    yield make
    for target in made:
        target.stop()
    assert list(tmp_path.iterdir()) == []


class Writer:
    """Sets the keys in turn through a session at each of `servers`, and remembers what was acknowledged."""

    def __init__(self, target: OwnTarget, number: int, servers: list[int]) -> None:
        connector = target.connector(number, servers)
        self.pool = SessionPool(open_endpoint(json.loads(connector.text)["fd"]), servers)
        self.pool.open(DEADLINE_S)
        self.acknowledged: dict[str, list[int]] = {path: [] for path in KEYS}  # zxids
        self.lost = 0  # outcome unknown
        self._sent: list[list[tuple[int, str]]] = [[] for _ in servers]
        self._cxid = 0

    @property
    def done(self) -> int:
        return sum(map(len, self.acknowledged.values()))

    @property
    def newest(self) -> int:
        return max((zxids[-1] for zxids in self.acknowledged.values() if zxids), default=0)

    def create(self) -> None:
        self._send(0, [Create(self._next(), path, b"") for path in KEYS])
        self.run_until(lambda: not self._sent[0], load=0)
        for zxids in self.acknowledged.values():
            zxids.clear()  # versions count from here

    def grow(self, nodes: int, size: int) -> None:
        """Make the tree larger by so many nodes."""
        for number in range(nodes):
            self._send(0, [Create(self._next(), f"/large{number}", os.urandom(size))])
            if len(self._sent[0]) > 100:
                self.run_until(lambda: len(self._sent[0]) < 50, load=0)
        self.drain()

    def set(self, count: int) -> None:
        """That many more acknowledged writes."""
        goal = self.done + count
        self.run_until(lambda: self.done >= goal)
        self.drain()

    def drain(self) -> None:
        self.run_until(lambda: not any(self._sent), load=0)

    def run_until(self, holds: Callable[[], bool], load: int = 32) -> None:
        """Keep `load` writes outstanding in every attached session until `holds()`."""
        deadline = time.monotonic() + DEADLINE_S
        while not holds():
            assert time.monotonic() < deadline, f"{self.done} acknowledged, {self.lost} lost"
            for index in self.pool.attached:
                if room := load - len(self._sent[index]):
                    self._set_some(index, room)
            arrivals = self.pool.receive()
            for index, frame, count in arrivals:
                self._take(index, frame, count)
            if not arrivals:
                self.pool.wait(time.monotonic_ns() + 20_000_000)

    def send_one(self) -> None:
        """One write through the first session, without waiting for it."""
        self._set_some(0, 1)

    def _next(self) -> int:
        self._cxid += 1
        return self._cxid

    def _set_some(self, index: int, count: int) -> None:
        if count > 0:
            cxids = [self._next() for _ in range(count)]
            self._send(index, [SetData(cxid, KEYS[cxid % len(KEYS)], b"%d" % cxid) for cxid in cxids])

    def _send(self, index: int, requests: list[Any]) -> None:
        if self.pool.send(index, requests):
            self._sent[index] += [(request.cxid, request.path) for request in requests]

    def _take(self, index: int, frame: bytes | None, count: int) -> None:
        answered, self._sent[index] = self._sent[index][:count], self._sent[index][count:]
        if frame is None:
            self.lost += count
            return
        for (cxid, path), reply in zip(answered, decode_replies(frame), strict=True):
            assert isinstance(reply, Done), (path, reply)
            assert reply.cxid == cxid
            self.acknowledged.setdefault(path, []).append(reply.zxid)


@contextmanager
def writer(target: OwnTarget, servers: list[int], number: int = 1) -> Iterator[Writer]:
    made = Writer(target, number, servers)
    try:
        yield made
    finally:
        made.pool.close()
        target.cluster.detach_client(number)


def leader(target: OwnTarget) -> int:
    (found,) = (server.id for server in target.servers() if server.role == "leader")
    return found


def assert_all_hold(replicas: list[ReplicaState], *writers: Writer) -> None:
    """Every acknowledged write is in every replica and in a quorum of logs; the replicas are equal."""
    assert len({(replica.applied_zxid, replica.digest) for replica in replicas}) == 1
    for path in KEYS:
        zxids = sorted(zxid for one in writers for zxid in one.acknowledged[path])
        lost = sum(one.lost for one in writers)
        for replica in replicas:
            node = replica.nodes[path]
            assert node.mzxid >= zxids[-1]
            assert len(zxids) <= node.version <= len(zxids) + lost
        for zxid in zxids:
            holders = [r for r in replicas if any(first <= zxid <= last for first, last in r.log or [])]
            assert len(holders) * 2 > len(replicas), f"{zxid:#x} stands in {len(holders)} logs"


def replica_of(target: OwnTarget, server: int, replicas: list[ReplicaState]) -> ReplicaState:
    (found,) = (replica for replica in replicas if replica.server == server)
    return found


@pytest.mark.parametrize("links", [{}, {"transport": "udp", "sealed": True}], ids=["shm", "udp"])
@pytest.mark.covers("S28", "S88", "INV-5", "INV-29")
def test_kills_of_the_leader_and_of_a_follower_mid_load_lose_nothing_acknowledged(
    own: Callable[..., OwnTarget], links: dict[str, Any]
) -> None:
    target = own(voters=3, durability="fsync", **links)
    old = leader(target)
    with writer(target, [1, 2, 3]) as load:
        load.create()
        load.run_until(lambda: load.done >= 1_000)
        target.inject(Crash(old))
        load.run_until(lambda: epoch_of(load.newest) >= 2)  # more on a machine that is busy with other things
        target.inject(Restart(old))
        target.cluster.wait_until_serving()
        goal = load.done + 1_000
        load.run_until(lambda: load.done >= goal)
        follower = min({1, 2, 3} - {leader(target)})
        target.inject(Crash(follower))
        load.run_until(lambda: load.done >= goal + 1_000)
        target.inject(Restart(follower))
        target.cluster.wait_until_serving()
        load.drain()
        replicas = target.replicas([])
        assert len(replicas) == 3
        assert load.lost > 0  # the leader was killed with writes under way
        assert_all_hold(replicas, load)


@pytest.mark.covers("S42")
def test_a_restarted_follower_catches_up_by_DIFF(own: Callable[..., OwnTarget]) -> None:
    target = own(voters=3, observers=1)
    chosen = leader(target)
    follower = min({1, 2, 3} - {chosen})
    with writer(target, [chosen]) as load:
        load.create()
        load.set(100)
        target.inject(Crash(follower))
        target.inject(Crash(4))
        load.set(300)
        target.inject(Restart(follower))
        target.inject(Restart(4))
        target.cluster.wait_until_serving()
        replicas = target.replicas([])
        for server in (follower, 4):
            behind = replica_of(target, server, replicas)
            assert behind.log == replica_of(target, chosen, replicas).log
            assert behind.log is not None
            assert behind.log[0] == (0, 0)  # it kept its log: no snapshot came
        assert_all_hold(replicas, load)


def wait_until_idle(target: OwnTarget) -> None:
    """Every server has applied the last write, and says so."""

    def level() -> bool:
        return len({(status.last_zxid, status.applied_zxid) for status in target.cluster.status().values()}) == 1

    target.cluster.wait(level, DEADLINE_S, lambda: "a server is behind", 0.005)


@pytest.mark.covers("S44", "S83", "F3a")
def test_a_leader_that_logged_what_nobody_else_has_is_truncated(own: Callable[..., OwnTarget]) -> None:
    target = own(voters=3)
    old = leader(target)
    others = sorted({1, 2, 3} - {old})
    with writer(target, [old]) as load:
        load.create()
        load.set(100)
        wait_until_idle(target)  # who is frozen in the middle of a turn goes on with it before it learns of the cut
        for server in others:
            target.inject(Freeze(server))
        before = target.cluster.status([old])[old].last_zxid
        load.send_one()
        target.cluster.wait(
            lambda: target.cluster.status([old])[old].last_zxid > before, DEADLINE_S, lambda: "nothing logged", 0.005
        )
        target.inject(Partition(((old,), tuple(others))))  # with the links goes what the others have not read
        target.inject(Crash(old))
        for server in others:
            target.inject(Thaw(server))
        load.run_until(lambda: load.lost == 1, load=0)
        load.set(100)
        target.inject(Heal())
        target.inject(Restart(old))
        target.cluster.wait_until_serving()
        replicas = target.replicas([])
        truncated = replica_of(target, old, replicas)
        assert truncated.log == [(0, 0), (1 << 32 | 1, before), (2 << 32 | 1, truncated.applied_zxid)]
        assert_all_hold(replicas, load)


@pytest.mark.covers("S45")
def test_a_wiped_follower_gets_a_SNAP(own: Callable[..., OwnTarget]) -> None:
    target = own(voters=3)
    chosen = leader(target)
    follower = min({1, 2, 3} - {chosen})
    with writer(target, [chosen]) as load:
        load.create()
        load.set(200)
        target.inject(Crash(follower))
        target.cluster.wipe(follower)
        load.set(100)
        target.inject(Restart(follower))
        target.cluster.wait_until_serving()
        load.set(100)
        replicas = target.replicas([])
        wiped = replica_of(target, follower, replicas)
        assert wiped.log is not None
        (_, base), *runs = wiped.log
        assert base > 0  # all that stood before it came as a snapshot
        assert runs == [(base + 1, wiped.applied_zxid)]
        assert wiped.digest == replica_of(target, chosen, replicas).digest


@pytest.mark.parametrize("durability", ["fsync", "buffered"])
@pytest.mark.covers("X-28")
def test_a_server_without_room_ends_naming_the_file_others_serve_on_and_it_comes_back(
    own: Callable[..., OwnTarget], durability: str
) -> None:
    target = own(voters=3, durability=durability, log_segment_bytes=1 << 20)
    old = leader(target)
    with writer(target, [1, 2, 3]) as load:
        load.create()
        load.set(1_000)
        target.inject(FillDisk(old))
        load.run_until(lambda: old in target.out_of_room() and epoch_of(load.newest) == 2)
        load.set(1_000)
        words = target.out_of_room()[old]
        log = rf"/\S+/data/{old}/generation.\d+/log.\w+"
        assert re.search(rf"exit status 1: lab.node {old}: {log}: cannot write: ", words)
        assert "Traceback" not in words
        target.inject(FreeDisk(old))
        target.inject(Restart(old))
        assert target.out_of_room() == {}
        target.cluster.wait_until_serving()
        load.set(100)
        replicas = target.replicas([])
        assert len(replicas) == 3
        assert_all_hold(replicas, load)


def test_a_server_that_is_given_room_in_time_serves_on(own: Callable[..., OwnTarget]) -> None:
    target = own(voters=3)
    follower = min({1, 2, 3} - {leader(target)})
    target.inject(FillDisk(follower))
    target.inject(FreeDisk(follower))
    with writer(target, [1, 2, 3]) as load:
        load.create()
        load.set(1_000)
        assert target.out_of_room() == {}
        assert_all_hold(target.replicas([]), load)


def test_only_a_server_whose_disk_was_filled_may_end(own: Callable[..., OwnTarget]) -> None:
    target = own(voters=3)
    follower = min({1, 2, 3} - {leader(target)})
    target.inject(FillDisk(follower))
    os.kill(target.cluster.pids()[follower], signal.SIGKILL)  # another end than the one that a full disk brings
    with pytest.raises(ClusterError, match=f"server {follower} ended: ended by SIGKILL"):
        target.cluster.wait(lambda: False, DEADLINE_S, lambda: "nothing ended")


@pytest.mark.covers("X-11", "S45", "Z-18")
def test_a_restarted_server_and_a_new_observer_get_a_large_tree_while_writes_go_on(
    own: Callable[..., OwnTarget],
) -> None:
    """Z-18: more than a window and more than a link's queue at a time, and the ensemble serves meanwhile."""
    target = own(voters=3, observers=1)
    chosen = leader(target)
    follower = min({1, 2, 3} - {chosen})
    with writer(target, [chosen]) as load:
        load.create()
        load.grow(4_000, 20_000)
        for server in (follower, 4):
            target.inject(Crash(server))
            target.cluster.wipe(server)
            target.inject(Restart(server))
        before = load.done
        load.run_until(lambda: _all_serve(target))
        assert load.done > before, "writes went on"
        load.drain()
        replicas = target.replicas([])
        for server in (follower, 4):
            log = replica_of(target, server, replicas).log
            assert log is not None
            assert log[0][1] > 0  # all that stood before it came as a snapshot
        assert_all_hold(replicas, load)


def _all_serve(target: OwnTarget) -> bool:
    status = target.cluster.status()
    return len(status) == len(target.cluster.members) and all(s.phase is Phase.BROADCAST for s in status.values())


@pytest.mark.parametrize("point", ["begun", "half written", "whole"])
@pytest.mark.covers("X-20")
def test_a_server_killed_while_it_installs_a_snapshot_recovers(own: Callable[..., OwnTarget], point: str) -> None:
    """Z-11: half a snapshot is worth nothing, and the switch to a whole one is one rename."""
    target = own(voters=3)
    chosen = leader(target)
    follower = min({1, 2, 3} - {chosen})
    with writer(target, [chosen]) as load:
        load.create()
        load.grow(2_000, 20_000)
        target.inject(Crash(follower))
        target.cluster.wipe(follower)
        target.inject(Restart(follower))
        folder = target.cluster.folder / "data" / str(follower)
        target.cluster.wait(lambda: _installed(folder, point), DEADLINE_S, lambda: f"{point}: never came", 0.001)
        target.inject(Crash(follower))
        target.inject(Restart(follower))
        target.cluster.wait_until_serving()
        load.set(100)
        assert_all_hold(target.replicas([]), load)


def _installed(folder: Path, point: str) -> bool:
    if point == "whole":
        return (folder / "CURRENT").exists()
    least = 0 if point == "begun" else 20_000_000
    return any(path.stat().st_size >= least for path in folder.glob("generation.*/snapshot.*"))
