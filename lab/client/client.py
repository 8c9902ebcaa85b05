"""A small synchronous client, for people and tests: one session, one request at a time."""

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Literal, Self, overload

import msgspec

from lab.client.links import Endpoint, open_endpoint
from lab.client.pool import PATIENCE_NS, SessionPool
from lab.service.requests import (
    MULTI_OPS_MAX,
    Children,
    Create,
    Created,
    CreateMode,
    Data,
    Delete,
    Done,
    ErrorCode,
    Exists,
    Failed,
    GetChildren,
    GetData,
    Multi,
    MultiDone,
    MultiFailed,
    Op,
    Reply,
    Request,
    SetData,
    Stat,
    StatReply,
    Sync,
    decode_replies,
)
from lab.transport.waiter import Wait

TIMEOUT_S = 10.0


class RequestFailedError(Exception):
    """The request definitely had no effect."""

    def __init__(self, request: Request | Op, error: int) -> None:
        try:
            self.code: int = ErrorCode(error)
            name = ErrorCode(error).name
        except ValueError:
            self.code, name = error, f"error {error}"
        super().__init__(f"{describe(request)}: {name}")


class MultiFailedError(RequestFailedError):
    """None of the ops had any effect; `index` is the one that failed, `errors` has a code for each."""

    def __init__(self, request: Multi, errors: list[int]) -> None:
        self.errors = errors
        self.index = next(index for index, error in enumerate(errors) if error != ErrorCode.OK)
        super().__init__(request.ops[self.index], errors[self.index])


class OutcomeUnknownError(Exception):
    """The connection was lost: the request may have taken effect, or may yet.  The session goes on elsewhere."""


class NotSentError(Exception):
    """No server accepted the session in time: the request was never sent, so it definitely had no effect."""


class Address(msgspec.Struct, frozen=True):
    """What a connector of the lab's own ensemble says: the client's number, its control socket, where to attach,
    and how to wait.
    """

    client: int
    fd: int
    servers: tuple[int, ...]
    wait: Wait = Wait.ADAPTIVE


def connect(connector: str, timeout_s: float = TIMEOUT_S, patience_ns: int = PATIENCE_NS) -> "Client":
    """A client of the connector's first server, in the process that has inherited its descriptor."""
    address = msgspec.json.decode(connector, type=Address)
    return Client(open_endpoint(address.fd, address.wait), address.servers[0], timeout_s, patience_ns)


def describe(request: Request | Op) -> str:
    name = type(request).__name__.removesuffix("Op").lower()
    return f"{name} {request.path}" if hasattr(request, "path") else name


class Client:
    """Methods block, at most `timeout_s`, and raise the three errors above."""

    def __init__(
        self, endpoint: Endpoint, server: int, timeout_s: float = TIMEOUT_S, patience_ns: int = PATIENCE_NS
    ) -> None:
        """Attach to `server`.  Takes over `endpoint`; raises LinksError if the server does not accept the session."""
        self._pool = SessionPool(endpoint, [server], patience_ns)
        self._timeout_s = timeout_s
        self._cxid = 0
        try:
            self._pool.open(timeout_s)
        except BaseException:
            self._pool.close()
            raise

    @property
    def session(self) -> int:
        return self._pool.ids[0]

    @property
    def server(self) -> int | None:
        """The server that the session is attached to."""
        return self._pool.sessions[0].server if self._pool.attached else None

    @property
    def last_zxid(self) -> int:
        return self._pool.sessions[0].last_zxid

    @property
    def cxid(self) -> int:
        """Number of the last request."""
        return self._cxid

    @overload
    def create(self, path: str, data: bytes = b"", *, sequential: Literal[False] = False) -> int: ...

    @overload
    def create(self, path: str, data: bytes = b"", *, sequential: Literal[True]) -> str: ...

    def create(self, path: str, data: bytes = b"", *, sequential: bool = False) -> int | str:
        """Returns the zxid; of a sequential node its path, which is `path` and its number."""
        if not sequential:
            return self._done(Create(self._next(), path, data)).zxid
        reply = self._ask(Create(self._next(), path, data, CreateMode.PERSISTENT_SEQUENTIAL))
        assert isinstance(reply, Created), reply
        return reply.path

    def set(self, path: str, data: bytes, version: int = -1) -> Done:
        return self._done(SetData(self._next(), path, data, version))

    def delete(self, path: str, version: int = -1) -> int:
        """Returns the zxid."""
        return self._done(Delete(self._next(), path, version)).zxid

    def multi(self, ops: Sequence[Op]) -> list[str | int]:
        """All of these or none; returns a create's path, a set's or check's version, 0 of a delete.

        Raises MultiFailedError, beside what every method raises.
        """
        if not 1 <= len(ops) <= MULTI_OPS_MAX:
            raise ValueError(f"a multi has 1 to {MULTI_OPS_MAX} ops, not {len(ops)}")
        reply = self._ask(Multi(self._next(), list(ops)))
        assert isinstance(reply, MultiDone), reply
        return reply.results

    def sync(self) -> int:
        """Wait until this server has applied what was committed before; returns how far it has come."""
        return self._done(Sync(self._next())).zxid

    def get(self, path: str) -> Data:
        """As this server has it: it may be behind."""
        reply = self._ask(GetData(self._next(), path))
        assert isinstance(reply, Data), reply
        return reply

    def read(self, path: str, *, sync: bool = False) -> bytes:
        """The node's data, with `sync` after a `sync`."""
        if sync:
            self.sync()
        return self.get(path).data

    def exists(self, path: str) -> Stat | None:
        try:
            reply = self._ask(Exists(self._next(), path))
        except RequestFailedError as error:
            if error.code == ErrorCode.NO_NODE:
                return None
            raise
        assert isinstance(reply, StatReply), reply
        return reply.stat

    def children(self, path: str) -> list[str]:
        """Names in sorted order."""
        reply = self._ask(GetChildren(self._next(), path))
        assert isinstance(reply, Children), reply
        return reply.names

    def close(self) -> None:
        self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _next(self) -> int:
        self._cxid += 1
        return self._cxid

    def _done(self, request: Request) -> Done:
        reply = self._ask(request)
        assert isinstance(reply, Done), reply
        return reply

    def _ask(self, request: Request) -> Reply:
        """Send one request and wait for its reply."""
        pool, deadline_ns = self._pool, time.monotonic_ns() + int(self._timeout_s * 1e9)
        what = describe(request)
        while True:
            pool.receive()  # notices a loss in the meantime, when nothing is outstanding
            if pool.attached and pool.send(0, [request]):
                break
            if time.monotonic_ns() > deadline_ns:
                raise NotSentError(f"{what}: no server accepts the session: {pool.sessions[0].reason}")
            pool.wait(deadline_ns)
        while True:
            for _, frame, _ in pool.receive():
                if frame is None:
                    raise OutcomeUnknownError(f"{what}: {pool.sessions[0].reason}")
                (reply,) = decode_replies(frame)
                return self._checked(request, reply)
            if time.monotonic_ns() > deadline_ns:
                pool.give_up(0, f"no answer within {self._timeout_s:g} s")  # else its answer would be the next one's
                continue
            pool.wait(deadline_ns)

    def _checked(self, request: Request, reply: Reply) -> Reply:
        assert not hasattr(reply, "cxid") or reply.cxid == self._cxid, (request, reply)
        if isinstance(reply, Failed):
            raise RequestFailedError(request, reply.error)
        if isinstance(reply, MultiFailed):
            assert isinstance(request, Multi), request
            raise MultiFailedError(request, reply.errors)
        return reply
