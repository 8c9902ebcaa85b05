"""The lab's own ensemble as a target: servers as OS processes, linked by shared memory or over UDP (DESIGN 3)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from lab.client.history import ReplicaState
from lab.cluster.cpu import all_on
from lab.cluster.errors import ClusterError
from lab.cluster.remote import Elsewhere, RemoteLoad
from lab.cluster.room import HOW, can_fill
from lab.cluster.spec import ClusterSpec, spec_of
from lab.cluster.supervisor import NODE, Cluster
from lab.faults import (
    Crash,
    Cut,
    FillDisk,
    FreeDisk,
    Freeze,
    Heal,
    Partition,
    Reshape,
    Restart,
    TargetFault,
    Thaw,
)
from lab.networks import Network
from lab.targets.hops import HopMarks, decode_hops
from lab.targets.target import Connector, PhaseMark, ServerInfo, TargetError, Usage

SETTLE_TIMEOUT_S = 60.0  # for everybody to apply the last write, a snapshot transfer included
SETTLE_PAUSE_S = 0.01
SETTLED_LOOKS = 2  # in a row: a request that was still in a ring at the first is seen at the next

ROLES = ("looking", "follower", "leader", "observer")  # by ServerState


class OwnTarget:
    """Voters have ids 1..V, observers V+1..V+O.  Implements `lab.targets.target.Target`."""

    name = "own"
    version = ""
    tells_phases = True
    server_command: Sequence[str] = NODE  # what a server process runs
    disk_full_by = HOW if can_fill() else ""

    def __init__(
        self,
        *,
        voters: int = 3,
        observers: int = 0,
        durability: str = "fsync",
        death_detection: str = "pidfd",
        wait: str = "adaptive",
        transport: str = "shm",
        udp_mtu: int = 1400,
        sealed: bool = False,
        tick_ms: int = 100,
        sync_limit_ticks: int = 5,
        init_limit_ticks: int = 20,
        max_outstanding: int = 0,
        batch_txns_max: int = 4096,
        snap_count: int = 100_000,
        leader_serves: bool = True,
        relays: int = 0,
        finalize_early: bool = True,
        log_segment_bytes: int = 64 << 20,
        data_dir: str | Path | None = None,
        seed: int = 1,
        marks_max: int = 0,
        marks_every: int = 1,
        cpus: tuple[int, ...] = (),
        network: Network | None = None,
        elsewhere: Elsewhere | None = None,
    ) -> None:
        """Starts nothing yet.  `cpus`: where all servers may run; empty: where this process may.

        `network`: what links do to datagrams, and who stands where; None: nothing.  `elsewhere`: the hosts on which
        everything runs; None: this one.

        Raises TargetError for settings that make no ensemble.
        """
        with _as_target_error():
            self._spec: ClusterSpec = spec_of(
                voters=voters,
                observers=observers,
                limits={
                    "sync_limit_ticks": sync_limit_ticks,
                    "init_limit_ticks": init_limit_ticks,
                    "max_outstanding": max_outstanding,
                    "batch_txns_max": batch_txns_max,
                    "snap_count": snap_count,
                    "leader_serves": leader_serves,
                    "relays": relays,
                    "finalize_early": finalize_early,
                },
                durability=durability,
                death_detection=death_detection,
                wait=wait,
                transport=transport,
                udp_mtu_bytes=udp_mtu,
                sealed=sealed,
                tick_ms=tick_ms,
                log_segment_bytes=log_segment_bytes,
                data_dir=None if data_dir is None else str(data_dir),
                seed=seed,
                marks_max=marks_max,
                marks_every=marks_every,
                cpus=all_on(range(1, voters + observers + 1), cpus),
                network=network,
            )
        self._elsewhere = elsewhere
        self._cluster: Cluster | None = None

    @property
    def cluster(self) -> Cluster:
        """The processes behind it.  Raises TargetError before `start` and after `stop`."""
        if self._cluster is None:
            raise TargetError("own: the ensemble is not running: start it first")
        return self._cluster

    @property
    def folder(self) -> Path:
        """The run's private folder."""
        return self.cluster.folder

    def start(self) -> None:
        if self._cluster is not None:
            raise TargetError("own: the ensemble is running already: stop it first")
        cluster = Cluster(self._spec, server_command=self.server_command, elsewhere=self._elsewhere)
        with _as_target_error():
            cluster.start()
        self._cluster = cluster

    def stop(self) -> None:
        """End and remove everything; a second call does nothing."""
        cluster, self._cluster = self._cluster, None
        if cluster is not None:
            with _as_target_error():
                cluster.close()

    def servers(self) -> list[ServerInfo]:
        """All members; one that is frozen or does not run is `looking`."""
        with _as_target_error():
            status = self.cluster.status()
        return [
            ServerInfo(server, ROLES[status[server].state] if server in status else "looking")
            for server in self.cluster.members
        ]

    def connector(self, client: int, servers: list[int]) -> Connector:
        """`text` is JSON: target, client, fd (the control socket), servers (those to attach to first), wait.

        The descriptor belongs to the caller, who closes it once the load process has inherited it.  On it the load
        process is sent Welcome, and then the links to all servers (lab/node/control.py).
        """
        far: RemoteLoad | None = None
        with _as_target_error():
            if self._elsewhere is None:
                fds = self.cluster.attach_client(client)
                control_fd = fds[0]
            else:
                far = self.cluster.start_client(client)
                fds, control_fd = (far.channel_fd,), far.control_fd
        address = {"target": "own", "client": client, "fd": control_fd, "servers": servers, "wait": self._spec.wait}
        return Connector(msgspec.json.encode(address).decode(), fds, far)

    def replicas(self, unknown: list[tuple[int, int]]) -> list[ReplicaState]:
        """Frozen and crashed servers are left out; a server that is cut off never catches up: heal first."""
        with _as_target_error():
            return [self._replica(server, unknown) for server in self._wait_until_settled()]

    def usage(self) -> list[Usage]:
        """Of the servers that answer; one that was restarted counts from its restart."""
        with _as_target_error():
            status, throttled = self.cluster.status(), self.cluster.throttled_s()
            rss = {server: self.cluster.rss_mb(server) for server in status}
        return [
            Usage(
                server=number,
                cpu_s=answer.cpu_ns / 1e9,
                bytes_sent=answer.bytes_sent,
                rss_mb=rss[number],
                at_ns=answer.at_ns,
                throttled_s=throttled.get(number, 0.0),
                frames_sent=answer.frames_sent,
                network=answer.network,
            )
            for number, answer in status.items()
        ]

    def data_folders(self) -> dict[int, Path]:
        """Where each server that runs keeps its log and snapshots."""
        return {server: self.cluster.folder / "data" / str(server) for server in self.pids()}

    def pids(self) -> dict[int, int]:
        """Of the servers that run."""
        return self.cluster.pids()

    def wipe(self, server: int) -> None:
        """Lose the disk of a server that has crashed: its next start is that of one which holds nothing (Z-12)."""
        with _as_target_error():
            self.cluster.wipe(server)

    def address(self, server: int) -> tuple[str, int]:
        """Where it takes datagrams, over UDP."""
        with _as_target_error():
            return self.cluster.address(server)

    def take_snapshot(self, server: int) -> None:
        """Have it snapshot its own disk as soon as may be."""
        with _as_target_error():
            self.cluster.take_snapshot(server)

    def progress(self) -> dict[int, tuple[str, int]]:
        """(role, last applied zxid) of the servers that answer."""
        with _as_target_error():
            status = self.cluster.status()
        return {server: (ROLES[answer.state], answer.applied_zxid) for server, answer in status.items()}

    def marks(self) -> list[PhaseMark]:
        with _as_target_error():
            reports = self.cluster.transitions()
            doubts = self.cluster.clock_doubts_ns()
        return [
            PhaseMark(
                server, r.at_ns, r.what, r.state.name.lower(), r.phase.name.lower(), r.epoch, r.leader, doubts[server]
            )
            for server, r in reports
        ]

    def forget_hops(self) -> None:
        with _as_target_error():
            self._check_marks()
            self.cluster.forget_marks()

    def hops(self) -> list[HopMarks]:
        with _as_target_error():
            self._check_marks()
            return [decode_hops(self.cluster.marks(server)) for server in self.cluster.answering()]

    def _check_marks(self) -> None:
        if not self._spec.marks_max:
            raise TargetError("own: its servers mark no hops: marks_max is 0")

    def inject(self, fault: TargetFault) -> int:
        cluster = self.cluster
        with _as_target_error():
            match fault:
                case Crash(server):
                    return cluster.crash(server)
                case Restart(server):
                    return cluster.start_server(server)
                case Freeze(server):
                    return cluster.freeze(server)
                case Thaw(server):
                    return cluster.thaw(server)
                case Partition(groups):
                    return cluster.partition(groups)
                case Heal():
                    return cluster.heal()
                case Cut(source, target):
                    return cluster.cut(source, target)
                case Reshape(source, target, shape):
                    return cluster.reshape(source, target, shape)
                case FillDisk(server):
                    return cluster.fill_disk(server)
                case FreeDisk(server):
                    return cluster.free_disk(server)

    def limit_cpu(self, share: float | None) -> str:
        with _as_target_error():
            return self.cluster.limit_cpu(share)

    def why_no_budget(self) -> str:
        """One line for people, once `limit_cpu` has answered none to a share; empty otherwise."""
        return self.cluster.why_no_budget()

    def look_out(self) -> None:
        """Raise TargetError if a server has ended by itself; returns at once."""
        with _as_target_error():
            self.cluster.pump(0.0)

    def out_of_room(self) -> dict[int, str]:
        """Servers that a FillDisk ended, with their last words; they stay so until their Restart."""
        with _as_target_error():
            return self.cluster.out_of_room()

    def _wait_until_settled(self) -> list[int]:
        """Wait until all that answer have applied the leader's last transaction; returns their ids."""
        cluster, looks = self.cluster, 0

        def settled() -> bool:
            nonlocal looks
            status = cluster.status()
            last = [s.last_zxid for n, s in status.items() if s.leader == n and ROLES[s.state] == "leader"]
            applied = {(s.applied_zxid, s.leader) for s in status.values()}
            looks = looks + 1 if len(last) == len(applied) == 1 and applied.pop()[0] == last[0] else 0
            return looks >= SETTLED_LOOKS

        cluster.wait_until_serving(SETTLE_TIMEOUT_S)
        cluster.wait(settled, SETTLE_TIMEOUT_S, lambda: "a server has not applied the last write", SETTLE_PAUSE_S)
        return cluster.answering()

    def _replica(self, server: int, unknown: list[tuple[int, int]]) -> ReplicaState:
        states = [msgspec.msgpack.decode(data, type=ReplicaState) for data in self.cluster.inspect(server, unknown)]
        found = {request: zxid for state in states for request, zxid in state.took_effect.items()}
        return msgspec.structs.replace(states[0], took_effect=found)


@contextmanager
def _as_target_error() -> Iterator[None]:
    try:
        yield
    except (ClusterError, ValueError) as error:  # ConfigError is a ValueError, and so is an impossible CPU share
        raise TargetError(f"own: {error}") from error
