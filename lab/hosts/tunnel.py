"""A local stream that ends at an agent behind a Dask worker."""

import asyncio
import socket
from concurrent.futures import Future
from typing import Any

from lab.cluster.errors import ClusterError

WAIT_S = 1.0  # of one question for news
LOST_AFTER_S = 15.0  # more than that for an answer, and the way to the worker is broken
CLOSE_TIMEOUT_S = 45.0  # for the agent to clean up: more than its janitor gives itself
READ_BYTES = 1 << 18


class Tunnel:
    """`stream` is for a `HostLink`; once that is closed, `close` waits for the agent's end."""

    def __init__(self, door: Any, loop: asyncio.AbstractEventLoop) -> None:
        """`door` is the actor; `loop` the Dask client's, in which bytes are carried."""
        self._door = door
        self.stream, self._far = socket.socketpair()
        self._far.setblocking(False)
        self._why = self._trouble = ""
        self._loop = loop
        self._carried: Future[None] = asyncio.run_coroutine_threadsafe(self._carry(), loop)

    def why(self) -> str:
        """What ended the stream, if it was not this end."""
        return self._why

    def close(self) -> None:
        """After the stream: returns once the agent has ended, or cannot be reached.  A second call does nothing.

        Raises ClusterError if it could not clean up.
        """
        self._carried.result(CLOSE_TIMEOUT_S)
        if self._trouble:
            raise ClusterError(self._trouble)

    async def _carry(self) -> None:
        ways = [asyncio.create_task(way) for way in (self._outwards(), self._inwards())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            for end in await asyncio.gather(*ways, return_exceptions=True):
                if isinstance(end, Exception):
                    self._why = self._why or _in_words(end)
            if not self._why:
                self._trouble = await asyncio.wait_for(_of(self._door.close()), CLOSE_TIMEOUT_S / 2)
        finally:
            self._far.close()

    async def _outwards(self) -> None:
        """Until the stream is closed here."""
        while data := await self._loop.sock_recv(self._far, READ_BYTES):
            await asyncio.wait_for(_of(self._door.send(data)), LOST_AFTER_S)

    async def _inwards(self) -> None:
        """Until the agent has ended."""
        while (data := await asyncio.wait_for(_of(self._door.receive(WAIT_S)), WAIT_S + LOST_AFTER_S)) != b"":
            if data is not None:
                await self._loop.sock_sendall(self._far, data)
        words = await asyncio.wait_for(_of(self._door.last_words()), LOST_AFTER_S)
        self._why = f"its agent has ended: {words or 'without a word'}"


async def _of(answer: Any) -> Any:
    """Of an actor's future, which is awaitable but no coroutine."""
    return await answer


def _in_words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"its Dask worker has not answered for {LOST_AFTER_S:g} s"
    return f"its Dask worker cannot be reached: {' '.join(str(error).split()) or type(error).__name__}"
