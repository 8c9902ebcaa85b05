"""The sessions of one client over its links: attached, fed, and moved to another server when theirs is lost.

A link carries one session at a time.  A session that lost its attachment goes to the next server, in the order of
ids, whose link is up and carries none; if there is none it waits for one.  A server that owes an answer for longer
than the patience is taken for lost, although its link may live on (a frozen server keeps its links): until something
comes from it again, others go before it.
"""

import time
from collections.abc import Sequence
from contextlib import suppress

from lab.client.links import Endpoint, Link, LinksError
from lab.client.session import Session, State, new_session_id
from lab.service.requests import Request, encode_frame
from lab.transport.errors import CorruptFrameError

PATIENCE_NS = 10_000_000_000
CHECK_NS = 25_000_000  # how often, at least, patience is measured
PAUSE_NS, PAUSE_NS_MAX = 1_000_000, 16_000_000  # after every server has refused; doubles

Arrival = tuple[int, bytes | None, int]  # session, frame, number of replies in it; without a frame: so many were lost


class SessionPool:
    """All sessions of this process, each named by its index."""

    def __init__(self, endpoint: Endpoint, servers: Sequence[int], patience_ns: int = PATIENCE_NS) -> None:
        """One session for each of `servers`, to which it attaches first.  Takes over `endpoint`."""
        self.endpoint = endpoint
        self.patience_ns = patience_ns
        self.sessions = [Session(new_session_id()) for _ in servers]
        self.attached: list[int] = []  # sessions that requests can be sent in, in order
        self._wanted = list(servers)  # where each session goes next
        self._has_begun = [False] * len(servers)  # it was attached once, so it may go anywhere
        self._links: list[Link | None] = [None] * len(servers)
        self._silent: set[Link] = set()  # given up for not answering, and not heard from since
        self._progress = [False] * len(servers)
        self._owed_since_ns = [0] * len(servers)
        self._refusals = [0] * len(servers)
        self._retry_ns = [0] * len(servers)
        self._check_ns = 0  # when to look again whether a server owes something for too long
        self._arrived: list[Arrival] = []  # what came to light outside of `receive`
        endpoint.on_up, endpoint.on_down = self._on_up, self._on_down

    @property
    def ids(self) -> list[int]:
        return [session.id for session in self.sessions]

    def open(self, timeout_s: float) -> None:
        """Wait until every session is attached to the server it was made for; raises LinksError naming one not so.

        So does a watched descriptor that becomes readable: whoever watches wants something else by then.
        """
        deadline_ns = time.monotonic_ns() + int(timeout_s * 1e9)
        while len(self.attached) < len(self.sessions):
            self.receive()
            if time.monotonic_ns() > deadline_ns:
                index = min(set(range(len(self.sessions))) - set(self.attached))
                raise LinksError(
                    f"server {self._wanted[index]} has not accepted a session within {timeout_s:g} s: "
                    f"{self.sessions[index].reason}"
                )
            if len(self.attached) < len(self.sessions) and self.wait(deadline_ns):
                raise LinksError("told to end before every session was attached")

    def send(self, index: int, requests: Sequence[Request]) -> bool:
        """Put one frame of requests on the session's link; False if it was lost at that: nothing was sent."""
        link, session = self._link_of(index), self.sessions[index]
        if not link.channel.send(encode_frame(requests)):
            self.endpoint.drop(link, "it does not take its requests")
            return False
        if not session.outstanding:
            self._progress[index] = True
        session.sent(len(requests))
        link.flush()
        return True

    def receive(self) -> list[Arrival]:
        """Answers and losses since the last call; of each session in the order of its requests.

        A frame of n replies answers the session's n oldest outstanding requests; a loss makes all of them unknown.
        Raises BrokenReplyError if a server answers what was not asked.
        """
        if self.endpoint.pull is not None:
            self.endpoint.pull()
        arrived, self._arrived = self._arrived, []
        for index, link in enumerate(self._links):
            if link is not None:
                try:
                    frames = link.receive()
                except CorruptFrameError as error:
                    self.endpoint.drop(link, str(error))
                    continue
                if frames:
                    self._take(index, frames, arrived)
        if not arrived:
            self._drain_idle_links()
        return arrived

    def wait(self, until_ns: int) -> list[int]:
        """Sleep until something arrived or until that time, or less; returns the ready watched descriptors."""
        now = time.monotonic_ns()
        until_ns = min(until_ns, now + CHECK_NS)
        if None in self._links:
            until_ns = min([until_ns, *(retry_ns for retry_ns in self._retry_ns if retry_ns > now)])
        ready = self.endpoint.wait(until_ns)
        now = time.monotonic_ns()
        if now >= self._check_ns or None in self._links:
            self._check_ns = now + CHECK_NS // 8
            self._check()
        return ready

    def look(self) -> list[int]:
        """What `wait` does besides sleeping: to be called now and then while there is no time to sleep."""
        ready = self.endpoint.look()
        self._check()
        return ready

    def give_up(self, index: int, reason: str) -> None:
        """End the session's attachment: what is outstanding is lost, and it goes to another server if it can."""
        session = self.sessions[index]
        refused = session.state is State.CONNECTING
        lost = session.detach(reason)
        if lost:
            self._arrived.append((index, None, lost))
        self._leave(index, refused=refused)

    def close(self) -> None:
        self.endpoint.close()

    # -- one session

    def _link_of(self, index: int) -> Link:
        link = self._links[index]
        assert link is not None, index
        return link

    def _take(self, index: int, frames: list[bytes], arrived: list[Arrival]) -> None:
        """Hand the frames of a session's link to the session."""
        session = self.sessions[index]
        self._progress[index] = True
        if self._silent:
            self._silent.discard(self._link_of(index))
        for frame in frames:
            state, outstanding = session.state, session.outstanding
            count = session.receive(frame)
            if count:
                arrived.append((index, frame, count))
            elif session.state is State.ATTACHED and state is State.CONNECTING:
                self._has_begun[index] = True
                self._refusals[index] = 0
                self._note_attached()
            elif session.state is State.DETACHED:
                if outstanding:
                    arrived.append((index, None, outstanding))
                self._leave(index, refused=state is State.CONNECTING)
                return  # what follows in the link belongs to nobody

    def _leave(self, index: int, *, refused: bool) -> None:
        """The session has no attachment: find it a new server, at once unless all have just refused."""
        session = self.sessions[index]
        self._links[index] = None
        self._note_attached()
        if self._has_begun[index]:
            others = sorted(self.endpoint.links)
            self._wanted[index] = next((n for n in others if n > (session.server or 0)), min(others, default=0))
        if refused:
            self._refusals[index] += 1
        rounds = self._refusals[index] // max(1, len(self.endpoint.links))
        if rounds:
            pause = min(PAUSE_NS << min(rounds - 1, 10), PAUSE_NS_MAX)
            self._retry_ns[index] = time.monotonic_ns() + pause
        self._place()

    def _place(self) -> None:
        """Begin an attachment for every session that has none and may try."""
        taken = {link.server for link in self._links if link is not None}
        for index, session in enumerate(self.sessions):
            if self._links[index] is None and self._retry_ns[index] <= time.monotonic_ns():
                server = self._choose(index, taken)
                if server is not None:
                    taken.add(server)
                    link = self._links[index] = self.endpoint.links[server]
                    self._progress[index] = True
                    link.channel.send(encode_frame([session.connect(server)]))
                    link.flush()

    def _choose(self, index: int, taken: set[int]) -> int | None:
        free = sorted(set(self.endpoint.links) - taken)
        free = [server for server in free if self.endpoint.links[server] not in self._silent] or free
        wanted = self._wanted[index]
        if not self._has_begun[index]:
            return wanted if wanted in free else None
        return next((server for server in free if server >= wanted), min(free, default=None))

    def _note_attached(self) -> None:
        self.attached = [i for i, session in enumerate(self.sessions) if session.state is State.ATTACHED]

    def _check(self) -> None:
        """Give up servers that owe something for too long, and try again where a pause is over."""
        now = time.monotonic_ns()
        for index, session in enumerate(self.sessions):
            if self._progress[index] or not (session.outstanding or session.state is State.CONNECTING):
                self._progress[index] = False
                self._owed_since_ns[index] = now
            elif now - self._owed_since_ns[index] > self.patience_ns:
                self._silent.add(self._link_of(index))
                self.give_up(index, f"server {session.server} has not answered for {self.patience_ns / 1e6:g} ms")
        if None in self._links:
            self._place()

    # -- links

    def _on_up(self, link: Link) -> None:  # noqa: ARG002 - any link may be the one that a session waits for
        self._place()

    def _on_down(self, link: Link) -> None:
        self._silent.discard(link)
        if link not in self._links:
            return
        index = self._links.index(link)
        with suppress(CorruptFrameError):
            self._take(index, link.receive(), self._arrived)
        if self._links[index] is link:
            self.give_up(index, link.ended_by)

    def _drain_idle_links(self) -> None:
        """Throw away what servers still say about attachments that were given up."""
        for link in list(self.endpoint.links.values()):
            if link not in self._links:
                try:
                    if link.receive():
                        self._silent.discard(link)
                except CorruptFrameError as error:
                    self.endpoint.drop(link, str(error))
