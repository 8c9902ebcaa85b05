"""A flood of datagrams at the leader's port while writes go on: what it breaks, and what it costs.

    python -m lab.bench.flood [DATAGRAMS]        a job (`lab.bench.probe`)

Three stretches of one load on one ensemble over UDP: without a flood, with DATAGRAMS sent to a port that nobody reads,
and with as many sent to the leader's.  The second takes the sender's CPU from the ensemble as the third does, so what
the third takes beyond it is the price of reading.  Nothing may break: no server ends, nobody is elected, no session of
a link ends, every write is verified.

The sender knows nothing of the ensemble.  One that hears its network could begin datagrams as those of a link do, which
no filter drops and only a tag tells from the link's own: each has to be read (`light/forged` is the price of one).
"""

import mmap
import os
import random
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import msgspec

from lab.bench.healthy import PAUSE_S, pass_time
from lab.bench.lifeline import die_with_parent
from lab.bench.limits import SettingsError, check_settings
from lab.bench.probe import Probe, Where, run_job
from lab.bench.record import Settings
from lab.bench.systems import LoadMaker, make_own
from lab.bench.tally import completed, unknown_writes
from lab.bench.trial import judge, loading, running
from lab.client.history import History, Kind
from lab.targets.own import OwnTarget
from lab.targets.target import TargetError, Usage

DATAGRAMS = 1_000_000
CALM_S = 2.0
WARMUP_S = 0.5
TIMEOUT_S = 120.0  # of a flood
KINDS = 1_024  # different datagrams in a flood
BYTES_MAX = 1_400
OUTSTANDING = 256

Address = tuple[str, int]


class Stretch(msgspec.Struct, frozen=True):
    """A part of the load, with what the leader had used at its beginning and at its end."""

    start_ns: int
    end_ns: int
    before: Usage
    after: Usage
    sent: int  # datagrams of a flood

    @property
    def seconds(self) -> float:
        return (self.end_ns - self.start_ns) / 1e9

    @property
    def cpu_s(self) -> float:
        return self.after.cpu_s - self.before.cpu_s

    def counted(self, name: str) -> int:
        return self.after.network.get(name, 0) - self.before.network.get(name, 0)


def measure(where: Where, arguments: Sequence[str]) -> Iterator[Probe]:
    """The job: one probe, whose samples are writes/s under the flood as a share of those beside it."""
    count = _count(arguments)
    settings = check_settings(
        Settings(durability="buffered", transport="udp", outstanding=OUTSTANDING, seed=where.round + 1)
    )
    target = make_own(settings, where.data_dir)
    with running(target):
        leader, broken = _leader(target), list[str]()
        before = _standing(target)
        with loading(target, settings, LoadMaker(settings, target)) as load, _unread_port() as nowhere:
            load.begin()
            pass_time(target, WARMUP_S)
            calm = _stretch(target, leader, lambda: pass_time(target, CALM_S))
            beside = _stretch(target, leader, lambda: flood(target, nowhere, count), count)
            under = _stretch(target, leader, lambda: flood(target, target.address(leader), count), count)
            histories = load.finish()
        broken += _what_broke(before, _standing(target), target)
        findings = [*broken, *judge(settings, histories, target.replicas(unknown_writes(histories))).findings]
    yield _probe(calm, beside, under, histories, findings)


def _count(arguments: Sequence[str]) -> int:
    if not arguments:
        return DATAGRAMS
    if len(arguments) > 1 or not arguments[0].isdecimal() or not int(arguments[0]):
        raise SettingsError(f"{' '.join(arguments)}: allowed: a number of datagrams")
    return int(arguments[0])


def _probe(calm: Stretch, beside: Stretch, under: Stretch, histories: Sequence[History], findings: list[str]) -> Probe:
    parts = {"calm": calm, "beside": beside, "under": under}
    rates = {name: _writes(histories, part) / part.seconds for name, part in parts.items()}
    read = under.counted("foreign")
    facts = {
        **{f"writes_per_s_{name}": rate for name, rate in rates.items()},
        **{f"leader_us_a_write_{name}": 1e6 * part.cpu_s / max(_writes(histories, part), 1)
           for name, part in parts.items()},
        "datagrams": float(under.sent),
        "sent_per_s": under.sent / under.seconds,
        "read": float(read),
        "retransmitted": float(under.counted("retransmitted")),
        "sessions_ended": float(under.counted("sessions") + beside.counted("sessions")),
    }  # fmt: skip
    if not read:
        findings = [*findings, "the leader has read nothing of the flood"]
    if facts["sessions_ended"]:
        findings = [*findings, f"{facts['sessions_ended']:.0f} sessions of the leader's links ended under the flood"]
    if not min(rates.values()):
        findings = [*findings, f"no write was acknowledged in one of the stretches: {rates}"]
    samples = [rates["under"] / rates["beside"]] if rates["beside"] else [0.0]
    return Probe(name="flood/leader", unit="x beside", samples=samples, facts=facts, findings=findings)


def _writes(histories: Sequence[History], part: Stretch) -> int:
    return len(completed(histories, part.start_ns, part.end_ns)[Kind.WRITE][0])


# -- the ensemble


def _leader(target: OwnTarget) -> int:
    return next(server.id for server in target.servers() if server.role == "leader")


def _standing(target: OwnTarget) -> tuple[dict[int, int], dict[int, str]]:
    """Which processes serve, and as what."""
    return target.pids(), {server.id: server.role for server in target.servers()}


def _what_broke(before: object, after: object, target: OwnTarget) -> Iterator[str]:
    if before != after:
        yield f"before the flood there were {before}, after it {after}"
    looking = [mark for mark in target.marks() if mark.phase == "election"][len(target.pids()) :]
    if looking:  # everybody elects once, at the start
        yield f"server {looking[0].server} looked for a leader again"


def _stretch(target: OwnTarget, leader: int, run: Callable[[], None], sent: int = 0) -> Stretch:
    start_ns, before = time.monotonic_ns(), _usage(target, leader)
    run()
    return Stretch(start_ns, time.monotonic_ns(), before, _usage(target, leader), sent)


def _usage(target: OwnTarget, server: int) -> Usage:
    return next(usage for usage in target.usage() if usage.server == server)


# -- the flood


def noise() -> list[bytes]:
    """Datagrams of every length, that nobody of the ensemble would send."""
    rng = random.Random(KINDS)
    return [rng.randbytes(rng.randrange(BYTES_MAX + 1)) for _ in range(KINDS)]


def flood(target: OwnTarget, address: Address, count: int) -> None:
    """Have a process of its own send so many to `address`, as fast as it can, and wait until it has."""
    deadline = time.monotonic() + TIMEOUT_S
    with _flooding(address, count) as sent:
        while sent() < count:
            if time.monotonic() > deadline:
                raise TargetError(f"of {count} datagrams only {sent()} were sent within {TIMEOUT_S:g} s")
            pass_time(target, PAUSE_S)


@contextmanager
def _flooding(address: Address, count: int) -> Iterator[Callable[[], int]]:
    """Gives how many have been sent so far."""
    page = mmap.mmap(-1, mmap.PAGESIZE)
    progress, here = memoryview(page).cast("Q"), os.getpid()
    child = os.fork()
    if child == 0:
        try:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            die_with_parent(here)
            _send(address, count, progress)
            signal.pause()
        finally:
            os._exit(0)
    try:
        yield lambda: int(progress[0])
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        progress.release()
        page.close()


def _send(address: Address, count: int, progress: memoryview) -> None:
    datagrams, sent = noise(), 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as source:
        while sent < count:
            for datagram in datagrams[: count - sent]:
                source.sendto(datagram, address)
            sent += min(KINDS, count - sent)
            progress[0] = sent


@contextmanager
def _unread_port() -> Iterator[Address]:
    """Somewhere to send to where nothing is read; with the smallest buffer, so that sending costs what it must."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unread:
        unread.bind(("127.0.0.1", 0))
        yield unread.getsockname()


if __name__ == "__main__":
    run_job(measure, "what a flood of datagrams at the leader's port costs, and what it breaks")
