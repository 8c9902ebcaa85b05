"""One client: a load process that keeps N operations outstanding, or sends them on a schedule, and records the answers.

    python -m lab.bench.load FD        FD: the SEQPACKET socket of `lab.bench.loadspec`, inherited

What runs per operation is one comprehension that makes the batch and one encoder; everything else costs per batch or
per frame of replies.  Latency runs from the moment a batch is handed to the link (open loop: from when the operation
was meant to be sent) to the moment the frame with its reply was taken from the link.  An operation belongs to the
measured window if its reply arrived within it.
"""

import gc
import os
import socket
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from lab.bench.arrivals import parse_arrivals
from lab.bench.handover import HandoverError
from lab.bench.journal import Journal
from lab.bench.lifeline import die_with_parent
from lab.bench.loadspec import (
    DATAGRAM_BYTES_MAX,
    Acknowledged,
    Answer,
    Await,
    Broken,
    LoadSpec,
    Measure,
    Measured,
    Ready,
    Reported,
    Settle,
    Setup,
    Start,
    Stop,
    decode_command,
    decode_spec,
    encode,
)
from lab.bench.recorder import Part, Recorder, ReplyMismatchError
from lab.bench.schedule import Pace, Schedule
from lab.targets.errors import OpeningError
from lab.targets.opening import Sessions, open_sessions
from workloads import workload_named

BATCH_OPERATIONS_MAX = 4096
FIRST_BATCH_OPERATIONS = 64  # of the set-up
BATCH_BYTES_MAX = 256 << 10
LOOK_NS = 2_000_000  # how often a process that never sleeps looks at its descriptors
STEP_TIMEOUT_S = 60.0  # for one frame of the set-up, or one sync
NEVER_NS = 1 << 62


class LoadError(Exception):
    """This process cannot do what it was told: one line."""


class Load:
    """One client's operations: what is sent when, in which session."""

    def __init__(self, spec: LoadSpec, commands: socket.socket) -> None:
        """Attaches the sessions.  Raises OpeningError, HandoverError."""
        workload = workload_named(spec.workload)
        self._spec, self._commands = spec, commands
        self._generator = workload.generator(msgspec.convert(spec.params, workload.params), spec.seed, spec.client)
        self._sessions: Sessions = open_sessions(
            spec.connector, patience_ms=spec.patience_ms, exact_timer=spec.rate is not None
        )
        self._sessions.watch(commands.fileno())  # nothing but its end comes before the sessions are there
        self._sessions.open(spec.open_timeout_s)
        self._recorder = _recorder(spec, self._sessions, self._generator.read_share)
        self._batch_max = max(1, min(BATCH_OPERATIONS_MAX, BATCH_BYTES_MAX // (self._generator.value_bytes + 32)))
        self._in_flight = [0] * len(self._sessions.ids)
        self._total = 0  # in flight
        self._next_cxid = 1
        self._turn = 0  # which session comes first: they take turns
        self._sends = False
        self._schedule: Schedule | None = None
        self._is_held = False  # something is due that the limit, or the lack of a session, holds back
        self._held_ns = 0  # when that was so last
        self._pace: Pace | None = None
        self._window: Measure | None = None
        self._mark_ns = NEVER_NS  # the next end of the window
        self._cpu_ns = 0
        self._waited_ns = 0  # with nothing to do, asleep or not
        self._waited_before_ns = 0
        self._stop_ns = NEVER_NS  # when to wait no longer for what is outstanding
        self._look_ns = 0
        self._firsts: dict[int, Acknowledged] = {}  # eager: the first acknowledged write of each epoch
        self._awaited: int | None = None
        self._stamps: list[deque[int]] = [deque() for _ in self._in_flight]  # eager: when each outstanding one was sent

    def run(self) -> None:
        """Until EOF on the command channel.  Raises LoadError, HandoverError, OpeningError, ReplyMismatchError."""
        self._answer(Ready())
        sessions = self._sessions
        while True:
            arrived = sessions.receive()
            now = time.monotonic_ns()
            if arrived:
                self._take(arrived, now)
            sent = self._sends and (self._send_open(now) if self._schedule else self._send_closed(now))
            if now >= self._mark_ns:
                self._on_mark(now)
            if self._stop_ns != NEVER_NS and (not self._total or now >= self._stop_ns):
                self._report()
            if not arrived and not sent:
                ready = sessions.wait(self._wake_ns())
                self._waited_ns += time.monotonic_ns() - now
            elif now >= self._look_ns:
                self._look_ns = now + LOOK_NS
                ready = sessions.look()
            else:
                continue
            if ready and not self._obey():
                return

    def close(self) -> None:
        self._sessions.close()

    # -- operations

    def _take(self, arrived: Sequence[tuple[int, bytes | None, int]], now: int) -> None:
        for index, frame, count in arrived:
            self._recorder.arrived(index, frame, count, now)
            self._in_flight[index] -= count
            self._total -= count
            if self._spec.eager:
                self._notice(index, frame, count, now)

    def _send_closed(self, now: int) -> int:
        """Fill up to the number outstanding, spread evenly over the attached sessions; returns how many were sent."""
        attached, free = self._sessions.attached, self._spec.outstanding - self._total
        if self._pace is not None:
            free = min(free, self._pace.allowed(now))
        if not attached or free <= 0:
            return 0
        quota = -(-self._spec.outstanding // len(attached))
        sent, self._turn = 0, self._turn + 1
        for place in range(len(attached)):
            index = attached[(self._turn + place) % len(attached)]
            count = min(quota - self._in_flight[index], free - sent, self._batch_max)
            if count > 0:
                sent += self._send(index, count)
        if self._pace is not None:
            self._pace.sent(sent)
        return sent

    def _send_open(self, now: int) -> int:
        """Send what is due, spread evenly over the attached sessions; returns how many were sent."""
        schedule, attached = self._schedule, self._sessions.attached
        assert schedule is not None
        room = self._spec.outstanding - self._total if attached else 0
        due = schedule.due(now, room + 1)
        if self._is_held:
            self._held_ns = now
        self._is_held = due > room
        due = min(due, room)
        if not due:
            return 0
        sent, self._turn = 0, self._turn + 1
        for place in range(len(attached)):
            index = attached[(self._turn + place) % len(attached)]
            count = min((due - sent) // (len(attached) - place), self._batch_max)
            if count > 0 and self._send(index, count):
                schedule.issue(count, self._held_ns)
                sent += count
        return sent

    def _send(self, index: int, count: int) -> int:
        sessions = self._sessions
        requests = self._generator.batch(self._next_cxid, count, sessions.set_data, sessions.get_data)
        return self._send_as(index, requests, Part.LOAD)

    def _send_as(self, index: int, requests: list[Any], part: Part) -> int:
        """Send one frame, in which requests are numbered from `_next_cxid`; returns how many were sent: all or none."""
        sent_ns, count = time.monotonic_ns(), len(requests)
        self._recorder.sent(index, self._next_cxid, count, sent_ns, part)
        if not self._sessions.send(index, requests):
            self._recorder.unsent()
            return 0
        self._next_cxid += count
        self._in_flight[index] += count
        self._total += count
        if self._spec.eager:
            self._stamps[index].extend([sent_ns] * count)
        return count

    def _wake_ns(self) -> int:
        """Until when there is nothing to do if nothing arrives."""
        wake = min(self._mark_ns, self._stop_ns)
        if self._schedule is not None and self._sends and self._has_room():
            wake = min(wake, self._schedule.next_ns)
        if self._pace is not None and self._sends and self._sessions.attached and self._total < self._spec.outstanding:
            wake = min(wake, self._pace.next_ns())
        return wake

    def _has_room(self) -> bool:
        """Whether what is due may be sent; else an arrival makes room, or a session comes back."""
        return bool(self._sessions.attached) and self._total < self._spec.outstanding

    # -- the first write of an epoch

    def _notice(self, index: int, frame: bytes | None, count: int, now: int) -> None:
        sent = [self._stamps[index].popleft() for _ in range(count)]
        if frame is None:
            return
        answers = self._sessions.decode(frame)
        for sent_ns, outcome, zxid, mzxid in zip(sent, answers.outcomes, answers.zxids, answers.mzxids, strict=True):
            if outcome == 0 and mzxid < 0:
                epoch = self._sessions.epoch_of(zxid)
                self._firsts.setdefault(epoch, Acknowledged(sent_ns, now, zxid, epoch))
        self._answer_await()

    def _answer_await(self) -> None:
        if self._awaited is not None:
            later = [epoch for epoch in self._firsts if epoch > (self._awaited or 0)]
            if later:
                self._awaited = None
                self._answer(self._firsts[min(later)])

    # -- commands

    def _obey(self) -> bool:
        """Carry out one command; False at EOF."""
        try:
            data = self._commands.recv(DATAGRAM_BYTES_MAX, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        if not data:
            return False
        match command := decode_command(data):
            case Setup():
                self._set_up()
                self._answer(Ready())
            case Settle():
                self._settle()
                self._answer(Ready())
            case Start():
                self._start(command.origin_ns)
                self._answer(Ready())
            case Measure() as window:
                self._window, self._mark_ns = window, window.start_ns
                if self._schedule is not None:
                    self._schedule.measure(window.start_ns, window.end_ns)
            case Await(epoch):
                self._awaited = epoch
                self._answer_await()
            case Stop(drain_s):
                self._sends, self._stop_ns = False, time.monotonic_ns() + int(drain_s * 1e9)
        return True

    def _harness_is_gone(self) -> bool:
        try:
            return not self._commands.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK)
        except BlockingIOError:
            return False

    def _answer(self, record: Answer) -> None:
        self._commands.send(encode(record))

    def _start(self, origin_ns: int) -> None:
        gc.collect()
        gc.freeze()
        gc.disable()  # nothing of the loop makes cycles, and a pause would be measured as latency
        spec = self._spec
        if spec.rate is not None:
            arrivals = parse_arrivals(spec.arrivals)
            self._schedule = Schedule(arrivals, spec.rate, spec.seed, spec.client, spec.clients, origin_ns)
        if spec.pace is not None:
            self._pace = Pace(spec.pace, time.monotonic_ns())
        self._sends = True

    def _set_up(self) -> None:
        """Create the nodes, parents first, and see each create acknowledged."""
        assert self._next_cxid == 1, "the set-up comes first: its requests are numbered from 1"
        generator, create = self._generator, self._sessions.create
        for path in generator.parents:  # one after the other: they may stand in each other
            self._ask(0, [create(self._next_cxid, path, b"")], Part.SETUP)
        for part in _growing(generator.paths, self._batch_max):
            cxid = self._next_cxid
            creates = [create(cxid + i, path, generator.value(cxid + i)) for i, path in enumerate(part)]
            self._ask(0, creates, Part.SETUP)

    def _settle(self) -> None:
        for index in range(len(self._in_flight)):
            self._ask(index, [self._sessions.sync(self._next_cxid)], Part.SYNC)

    def _ask(self, index: int, requests: list[Any], part: Part) -> None:
        """Send one frame and wait until all of it has succeeded."""
        what = f"client {self._spec.client}, {part.name.lower()}"
        if index not in self._sessions.attached or not self._send_as(index, requests, part):
            raise LoadError(f"{what}: a session was lost")
        deadline_ns = time.monotonic_ns() + int(STEP_TIMEOUT_S * 1e9)
        while self._total:
            arrived = self._sessions.receive()
            self._take(arrived, time.monotonic_ns())
            for _, frame, count in arrived:
                failure = self._sessions.failure(frame) if frame is not None else f"{count} requests were lost"
                if failure:
                    raise LoadError(f"{what}: {failure}")
            if time.monotonic_ns() > deadline_ns:
                raise LoadError(f"{what}: {self._total} requests are not answered after {STEP_TIMEOUT_S:g} s")
            if not arrived and self._sessions.wait(deadline_ns) and self._harness_is_gone():
                raise LoadError(f"{what}: the harness is gone")

    # -- the window and the end

    def _on_mark(self, now: int) -> None:
        """An end of the window has come."""
        assert self._window is not None
        cpu_ns = time.process_time_ns()
        if self._mark_ns == self._window.start_ns:
            self._cpu_ns, self._waited_before_ns, self._mark_ns = cpu_ns, self._waited_ns, self._window.end_ns
        if now >= self._window.end_ns:
            self._mark_ns = NEVER_NS
            self._answer(Measured(cpu_ns - self._cpu_ns, self._waited_ns - self._waited_before_ns))

    def _report(self) -> None:
        self._stop_ns = NEVER_NS
        schedule, window = self._schedule, self._window
        operations = self._recorder.finish(self._generator, schedule, Path(self._spec.history))
        if schedule is None or window is None:
            self._answer(Reported(operations))
            return
        set_up = operations - schedule.issued
        asked, asked_until_end = schedule.asked(window.start_ns, window.end_ns)
        self._answer(Reported(operations, asked, set_up + asked_until_end))


def _recorder(spec: LoadSpec, sessions: Sessions, read_share: float) -> Recorder | Journal:
    if spec.journal:
        return Journal(Path(spec.history), spec.client, sessions, read_share, spec.reads_checked_max)
    return Recorder(sessions, spec.client, read_share, spec.reads_checked_max)


def _growing(items: Sequence[str], most: int) -> Iterator[Sequence[str]]:
    """Parts of them, each up to twice as large as the last: over a long link the first ones have small windows."""
    begin, size = 0, min(FIRST_BATCH_OPERATIONS, most)
    while begin < len(items):
        yield items[begin : begin + size]
        begin, size = begin + size, min(2 * size, most)


def main() -> int:
    die_with_parent(os.getppid())
    with socket.socket(fileno=int(sys.argv[1])) as commands:
        data = commands.recv(DATAGRAM_BYTES_MAX)
        if not data:
            return 0  # the harness is gone
        try:
            load = Load(decode_spec(data), commands)
            try:
                load.run()
            finally:
                load.close()
        except (LoadError, HandoverError, OpeningError, ReplyMismatchError) as error:
            commands.send(encode(Broken(str(error))))  # first: the disk of the log may be full
            print(error, file=sys.stderr)  # noqa: T201 - the log of this process
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
