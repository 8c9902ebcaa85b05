"""What the supervisor hears: reports of servers, their answers to questions, and the ends of processes (DESIGN 3).

Reports are taken in whenever a method waits, so a server that ended by itself is noticed at the next call.
"""

import itertools
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from lab.cluster.endings import Endings
from lab.cluster.endpoints import Server
from lab.cluster.errors import ClusterError
from lab.cluster.ground import Ground
from lab.cluster.inbox import Inbox
from lab.cluster.network import Network
from lab.cluster.run_folder import RunFolder
from lab.cluster.serving import describe, leader_of
from lab.cluster.spec import ClusterSpec
from lab.node.control import GetStatus, Inspect, Inspected, Status, TakeMarks, TakeSnapshot, Transition

SERVE_TIMEOUT_S = 30.0
ANSWER_TIMEOUT_S = 10.0
UNKNOWN_PER_QUESTION = 2_000  # (session, cxid) pairs of up to 19 bytes that surely fit into one control record


class Listener:
    """The half of a cluster that starts and ends nothing."""

    def __init__(self, spec: ClusterSpec, network: Network) -> None:
        self.spec = spec
        self.members: tuple[int, ...] = spec.zab.members
        self._servers = network.servers
        self._loads = network.loads
        self._endings = Endings()
        self._inbox = Inbox()
        self._numbers = itertools.count(1)  # of questions
        self._folder: RunFolder | None = None
        self._grounds: dict[int, Ground] = {}  # by server

    @property
    def folder(self) -> Path:
        """The run's private folder: data, logs and whatever the harness wants removed with them."""
        return self._folder_made().path

    def frozen(self) -> set[int]:
        return {number for number, server in self._servers.items() if server.frozen}

    def answering(self) -> list[int]:
        """The servers that run and are not frozen."""
        return sorted(self._servers.keys() - self.frozen())

    def wait_until_serving(self, timeout_s: float = SERVE_TIMEOUT_S, among: Collection[int] | None = None) -> int:
        """Wait until one of these servers leads and all are in its BROADCAST; returns the leader's id.

        By default all that run and are not frozen.  They judge by their own reports, so right after a fault that nobody
        has noticed yet, ask for those that have to notice it.
        """
        members = self.answering() if among is None else among
        self.wait(
            lambda: leader_of(self._reports(members)) > 0,
            timeout_s,
            lambda: f"the ensemble does not serve: {describe(self._reports(members))}; logs are in {self.folder}",
        )
        return leader_of(self._reports(members))

    def status(self, servers: Collection[int] | None = None, timeout_s: float = ANSWER_TIMEOUT_S) -> dict[int, Status]:
        """Counters of these servers; by default of all that run and are not frozen."""
        asked = {number: next(self._numbers) for number in sorted(self.answering() if servers is None else servers)}
        for number, question in asked.items():
            self._awake(number).send(GetStatus(question))
        answers = self._answers(asked, timeout_s)
        return {number: answer for number, answer in answers.items() if isinstance(answer, Status)}

    def inspect(
        self, number: int, unknown: Sequence[tuple[int, int]] = (), timeout_s: float = SERVE_TIMEOUT_S
    ) -> list[bytes]:
        """What a server holds (msgpack of ReplicaState); several times over if there are many `unknown` to look up."""
        states = []
        for first in range(0, max(1, len(unknown)), UNKNOWN_PER_QUESTION):
            question, ground = next(self._numbers), self._grounds[number]
            name = f"inspect-{number}-{question}"
            part = list(unknown[first : first + UNKNOWN_PER_QUESTION])
            self._awake(number).send(Inspect(question, ground.path(name), part))
            self._answers({number: question}, timeout_s)
            self._running(number)
            states.append(ground.take(name))
        return states

    def forget_marks(self, timeout_s: float = ANSWER_TIMEOUT_S) -> None:
        """Let every server that answers begin its hop markers anew; only if the spec has them mark."""
        asked = {number: next(self._numbers) for number in self.answering()}
        for number, question in asked.items():
            self._awake(number).send(TakeMarks(question, ""))
        self._answers(asked, timeout_s)

    def marks(self, number: int, timeout_s: float = SERVE_TIMEOUT_S) -> bytes:
        """What a server marked since the last call or `forget_marks` (msgpack of lab.targets.hops.HopMarks)."""
        question, ground = next(self._numbers), self._grounds[number]
        name = f"marks-{number}-{question}"
        self._awake(number).send(TakeMarks(question, ground.path(name)))
        self._answers({number: question}, timeout_s)
        self._running(number)
        return ground.take(name)

    def take_snapshot(self, number: int, timeout_s: float = ANSWER_TIMEOUT_S) -> None:
        """Have a server snapshot its own disk as soon as may be; returns once it knows."""
        question = next(self._numbers)
        self._awake(number).send(TakeSnapshot(question))
        self._answers({number: question}, timeout_s)

    def transitions(self) -> list[tuple[int, Transition]]:
        """What the servers reported since the last call, as (server, report)."""
        self.pump(0.0)
        reports = list(self._inbox.transitions)
        self._inbox.transitions.clear()
        return reports

    def pump(self, timeout_s: float) -> None:
        """Wait until something is reported, and take it in.  Raises ClusterError if a server ended by itself."""
        for process in self._inbox.pump(timeout_s):
            if isinstance(process, Server):
                process.child.wait(0.0)  # it has ended: this only reaps it
                self._endings.ended(process.number, process.child.last_words())
                del self._servers[process.number]
            else:
                del self._loads[process.number]
            process.close()
        self._endings.check()

    def wait(
        self, done: Callable[[], bool], timeout_s: float, otherwise: Callable[[], str], ask_every_s: float | None = None
    ) -> None:
        """Take in reports until `done` holds; past the deadline, raises ClusterError with what `otherwise` says.

        `done` is asked after every report, and every `ask_every_s` if that is given.
        """
        deadline = time.monotonic() + timeout_s
        self.pump(0.0)
        while not done():
            left_s = deadline - time.monotonic()
            if left_s < 0.0:
                raise ClusterError(f"within {timeout_s:g} s: {otherwise()}")
            self.pump(left_s if ask_every_s is None else min(left_s, ask_every_s))

    def out_of_room(self) -> dict[int, str]:
        """Servers that ended because their disk was filled, and their last words."""
        self.pump(0.0)
        return dict(self._endings.out_of_room)

    # -- inside

    def _folder_made(self) -> RunFolder:
        assert self._folder is not None, "the cluster has not been started"
        return self._folder

    def _check_member(self, number: int) -> None:
        if number not in self.members:
            raise ClusterError(f"there is no server {number}: the ensemble has {', '.join(map(str, self.members))}")

    def _running(self, number: int) -> Server:
        self._check_member(number)
        if number not in self._servers:
            raise ClusterError(f"server {number} does not run{self._endings.how(number)}: restart it first")
        return self._servers[number]

    def _awake(self, number: int) -> Server:
        server = self._running(number)
        if server.frozen:
            raise ClusterError(f"server {number} is frozen and answers nothing: thaw it first")
        return server

    def _reports(self, members: Collection[int]) -> dict[int, Transition | None]:
        return {number: self._running(number).entered for number in sorted(members)}

    def _answers(self, asked: dict[int, int], timeout_s: float) -> dict[int, Status | Inspected]:
        """`asked`: server -> number of the question.  One that ends meanwhile, its disk being full, has no answer."""
        heard = self._inbox.answers

        def silent() -> list[int]:
            return [number for number, question in asked.items() if question not in heard and number in self._servers]

        self.wait(lambda: not silent(), timeout_s, lambda: f"no answer from servers {silent()}")
        return {number: heard.pop(question) for number, question in asked.items() if question in heard}
