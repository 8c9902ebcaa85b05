"""Client sessions attached to this server: what they wait for, in the order they asked (zab.md 5.4, INV-22)."""

from collections import deque
from itertools import islice

from lab.service.requests import Read, Reply, Request


class PendingSync:
    """A `sync` on its way to the leader and back; done once everything committed before it is applied here."""

    __slots__ = ("cxid", "done")

    def __init__(self, cxid: int) -> None:
        self.cxid = cxid
        self.done = False


OPENING = 0  # the cxid that stands for the session's own Connect; requests count from 1


class LocalSession:
    """One attachment of a session to this server.

    `pending` holds, in the order of the requests, the cxid of every write that is not applied yet, every unfinished
    sync, and every read that has to wait behind one of them; it begins with a write or sync, or is empty.
    """

    __slots__ = ("attachment", "blocked", "client", "id", "out", "pending")

    def __init__(self, client: int, session: int, attachment: int) -> None:
        self.client = client
        self.id = session
        self.attachment = attachment
        self.pending: deque[int | PendingSync | Read] = deque((OPENING,))
        self.blocked = 0  # how many of `pending` are no cxids
        self.out: list[Reply] = []  # answers of the step in hand

    def takes_run(self, cxids: list[int]) -> bool:
        """Whether these writes are the next that are owed an answer, and no read stands among or behind them."""
        return not self.blocked and list(islice(self.pending, len(cxids))) == cxids

    def forget_run(self, count: int) -> None:
        """The next `count` are answered."""
        if count == len(self.pending):
            self.pending.clear()
        else:
            for _ in range(count):
                self.pending.popleft()


class WaitingClient:
    """A client that connected before this server serves; it is admitted, or refused, once it does."""

    __slots__ = ("requests", "size")

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.size = 0
