"""All links of one server process: what `lab.service.host` sends and receives, over shared memory.

A link begins with an Attach from the supervisor and ends with a Detach, with the next Attach of the same name (a new
incarnation, or the end of a partition), with the death of the process at its other end, or with a failure of the link
itself.  Every end is reported once, after everything of that link that is still delivered.
"""

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from lab.node.client_link import ClientLink
from lab.node.control import Attach, Detach, Reshape
from lab.node.errors import NodeError
from lab.node.peer_link import PeerLink
from lab.service.events import ClientDown, ClientId
from lab.service.host import ClientUp, Inbound
from lab.transport import link as transport
from lab.transport.errors import CorruptFrameError
from lab.transport.shm import CLIENT_CHANNELS, PEER_CHANNELS, AttachedLink
from lab.transport.waiter import Waiter
from lab.zab.config import PeerId
from lab.zab.events import PeerDown, PeerUp, Session

Link = PeerLink | ClientLink
Key = tuple[str, int]  # role and name, as in Attach


def refuse(attach: Attach, fds: Sequence[int], expected: str) -> NoReturn:
    """Close the descriptors and raise NodeError."""
    for fd in fds:
        os.close(fd)
    raise NodeError(f"{attach} with {len(fds)} descriptors: {expected}")


class NodeLinks:
    """Satisfies `lab.service.host.Links`.  Nothing here blocks."""

    def __init__(self, waiter: Waiter, *, queue_bytes_max: int, watch_peers: bool) -> None:
        """`queue_bytes_max`: what may wait for room in one channel.  `watch_peers`: a peer's death ends its link at
        once; otherwise only silence tells (DeathDetection).  The death of a load process always does.
        """
        self._waiter = waiter
        self._bell = waiter.bell
        self._queue_bytes_max = queue_bytes_max
        self._watch_peers = watch_peers
        self._links: dict[Key, Link] = {}
        self._peers: dict[PeerId, PeerLink] = {}
        self._clients: dict[ClientId, ClientLink] = {}
        self._life_fds: dict[Key, int] = {}
        self._died: list[tuple[Key, Link]] = []  # links whose other process died, since the last receive
        self._notices: list[Inbound] = []  # what happened here since then
        self._is_fresh = False  # a link has begun: what came in it before was announced before
        self._last_client: ClientId = 0
        self._closed_bytes_sent = self._closed_frames_sent = 0  # of links that have ended
        self._in_order: list[tuple[Key, Link]] = []  # a walk that is under way keeps the list that it began with
        self._unflushed: dict[Key, Link] = {}  # links with frames that are not published, or wait for room

    # -- links come and go ---------------------------------------------------------------------------

    def attach(self, attach: Attach, fds: Sequence[int]) -> None:
        """Begin the link that `attach` describes; an earlier one of the same name ends.  Takes over `fds`.

        Raises NodeError if the descriptors are not those of an Attach.
        """
        if attach.role not in ("peer", "client") or attach.side not in (0, 1) or attach.link or len(fds) != 4:
            refuse(attach, fds, "role is peer or client, side 0 or 1, link 0, descriptors 4")
        key = (attach.role, attach.name)
        self._end(key)
        memory_fd, event_fd, page_fd, life_fd = fds
        try:
            rings = self._map(attach, (memory_fd, event_fd, page_fd))
        except (OSError, ValueError) as error:
            raise NodeError(f"{attach}: {error}") from error
        self._begin(attach, rings)
        self._watch(key, life_fd)
        self._in_order = list(self._links.items())
        self._is_fresh = True

    def _watch(self, key: Key, life_fd: int) -> None:
        """Take over what tells that the process at the other end died."""
        if key[0] == "client" or self._watch_peers:
            self._life_fds[key] = life_fd
            self._waiter.add(life_fd)
        else:
            os.close(life_fd)

    def _map(self, attach: Attach, fds: tuple[int, int, int]) -> AttachedLink:
        """Takes over `fds`."""
        if attach.role == "peer":
            return AttachedLink(fds, PEER_CHANNELS, attach.side, queue_bytes_max=self._queue_bytes_max, rare=(0,))
        return AttachedLink(fds, CLIENT_CHANNELS, attach.side, queue_bytes_max=self._queue_bytes_max)

    def _begin(self, attach: Attach, over: transport.Link) -> None:
        """A link that carries frames from now on; takes over `over`."""
        key = (attach.role, attach.name)
        if attach.role == "peer":
            peer = self._links[key] = self._peers[attach.name] = PeerLink(attach.name, attach.incarnation, over)
            self._notices.append(PeerUp(peer.peer, peer.incarnation))
        else:
            self._last_client += 1
            client = self._links[key] = self._clients[self._last_client] = ClientLink(key, self._last_client, over)
            self._notices.append(ClientUp(client.client))

    def detach(self, detach: Detach) -> None:
        """Cut the link at once; what it had not delivered is gone.  A link that is not there: nothing."""
        self._end((detach.role, detach.name))

    def reshape(self, reshape: Reshape) -> None:
        """Raises NodeError: no link here carries datagrams."""
        raise NodeError(f"{reshape}: the links of this server carry frames, which have no shape")

    def on_ready(self, fd: int) -> None:
        """The waiter says that `fd` is readable: the process at the other end of some link died."""
        for key, life_fd in self._life_fds.items():
            if life_fd == fd:
                self._died.append((key, self._links[key]))

    def _end(self, key: Key) -> None:
        link = self._links.pop(key, None)
        if link is None:
            return
        self._unwatch(key)
        self._close_link(key, link)
        self._in_order = list(self._links.items())

    def _unwatch(self, key: Key) -> None:
        life_fd = self._life_fds.pop(key, None)
        if life_fd is not None:
            self._waiter.remove(life_fd)
            os.close(life_fd)

    def _close_link(self, key: Key, link: Link) -> None:
        """It carries no frames any more."""
        if isinstance(link, PeerLink):
            del self._peers[link.peer]
            self._notices.append(PeerDown(link.peer, link.incarnation))
        else:
            del self._clients[link.client]
            self._notices.append(ClientDown(link.client))
        self._closed_bytes_sent += link.bytes_sent
        self._closed_frames_sent += link.frames_sent
        self._unflushed.pop(key, None)
        link.close()

    def _fail(self, key: Key, reason: object) -> None:
        """End a link that cannot go on, and tell people."""
        print(f"lab.node: link to {key[0]} {key[1]} closed: {reason}", file=sys.stderr, flush=True)  # noqa: T201
        self._end(key)

    # -- what the host's loop calls ------------------------------------------------------------------

    def receive(self) -> Sequence[Inbound]:
        """What arrived since the last call, in order per link and channel.

        A dead process's frames come before its PeerDown or ClientDown: it had published them whole.  Without news not
        one ring is looked into; a fresh link is its own news.
        """
        if not self._bell.take_news() and not self._notices and not self._died:
            return []
        rare, self._is_fresh = self._bell.take_rare() or self._is_fresh, False
        died, self._died = self._died, []
        arrived, self._notices = self._notices, []
        for key, link in self._in_order:
            try:
                link.receive(arrived, rare=rare)
            except CorruptFrameError as error:
                self._fail(key, error)
                continue
            if rare and link.has_ended():
                self._end(key)
        for key, link in died:
            if self._links.get(key) is link:  # not ended or replaced meanwhile
                self._end(key)
        arrived += self._notices
        self._notices.clear()
        return arrived

    def has_input(self) -> bool:
        """Whether `receive` or `flush` has something to do: asked before the process sleeps."""
        return self._bell.has_news() or bool(self._notices) or bool(self._died)

    def notify(self, peer: PeerId, frame: bytes) -> None:
        link = self._peers.get(peer)
        if link is not None:
            self._unflushed["peer", peer] = link
            try:
                link.notify(frame)
            except CorruptFrameError as error:
                self._fail(("peer", peer), error)

    def send(self, peer: PeerId, session: Session, frame: bytes) -> None:
        link = self._peers.get(peer)
        if link is not None:
            self._unflushed["peer", peer] = link
            try:
                self._notices += link.send(session, frame)
            except CorruptFrameError as error:
                self._fail(("peer", peer), error)

    def close_session(self, peer: PeerId, session: Session) -> None:
        link = self._peers.get(peer)
        if link is not None:
            self._unflushed["peer", peer] = link
            try:
                self._notices += link.close_session(session)
            except CorruptFrameError as error:
                self._fail(("peer", peer), error)

    def reply(self, client: ClientId, frame: bytes) -> None:
        link = self._clients.get(client)
        if link is not None:
            self._unflushed[link.key] = link
            try:
                if not link.send(frame):
                    self._fail(link.key, f"{self._queue_bytes_max} bytes of replies wait, it reads too slowly")
            except (CorruptFrameError, ValueError) as error:  # ValueError: one reply is longer than a frame may be
                self._fail(link.key, error)

    def close_client(self, client: ClientId) -> None:
        """End a client link; replies sent before still arrive if there is room for them."""
        if client in self._clients:
            key = self._clients[client].key
            self.flush()
            if key in self._links:
                self._end(key)

    def flush(self) -> None:
        """Replies first: a client is waited for, and waking a process costs a system call each."""
        unflushed, self._unflushed = self._unflushed, {}
        for key, link in sorted(unflushed.items()):
            try:
                if not link.flush():
                    self._unflushed[key] = link
            except CorruptFrameError as error:
                self._fail(key, error)

    # -- counters ------------------------------------------------------------------------------------

    def network(self) -> dict[str, int]:
        """Of datagrams: no link here carries any."""
        return {}

    @property
    def bytes_sent(self) -> int:
        """By all links of this process so far, in rings, headers included."""
        return self._closed_bytes_sent + sum(link.bytes_sent for link in self._links.values())

    @property
    def frames_sent(self) -> int:
        return self._closed_frames_sent + sum(link.frames_sent for link in self._links.values())

    def close(self) -> None:
        """End every link; the other ends learn it."""
        for key in list(self._links):
            self._end(key)
