"""The agent's door, an actor in a Dask worker: it starts the agent there and passes bytes in and out."""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import tempfile

from lab.cluster.process import SOURCE_ROOT

READ_BYTES = 1 << 18
WORDS_BYTES = 4096


class AgentDoor:
    """Its methods run in the worker's event loop and never block it.  When it is dropped, the agent sees EOF and ends.

    Dask drops it once no client holds it, that of a coordinator which was killed included.
    """

    def __init__(self) -> None:
        self._stream, its_end = socket.socketpair()
        self._stream.setblocking(False)
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the agent
        path = os.pathsep.join(filter(None, (SOURCE_ROOT, os.environ.get("PYTHONPATH"))))
        with its_end:
            self._agent = subprocess.Popen(
                [sys.executable, "-m", "lab.cluster.agent", str(its_end.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                pass_fds=(its_end.fileno(),),
                env={**os.environ, "PYTHONPATH": path},
                process_group=0,  # a Ctrl-C where the worker runs is the worker's to handle
            )

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self._stream, data)

    async def receive(self, wait_s: float) -> bytes | None:
        """What the agent has said; None if that was nothing for so long, empty once it has ended."""
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(self._stream, readable.set)
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(readable.wait(), wait_s)
        finally:
            loop.remove_reader(self._stream)
        try:
            return self._stream.recv(READ_BYTES)
        except BlockingIOError:
            return None
        except ConnectionResetError:
            return b""

    async def last_words(self) -> str:
        """Of an agent that has ended."""
        self._log.seek(max(0, self._log.seek(0, os.SEEK_END) - WORDS_BYTES))
        lines = self._log.read().decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    async def close(self) -> str:
        """The agent sees EOF; returns once it has ended and cleaned up: why it could not, or nothing."""
        with contextlib.suppress(OSError):
            self._stream.shutdown(socket.SHUT_WR)
        status = await asyncio.get_running_loop().run_in_executor(None, self._agent.wait)
        return "" if status == 0 else f"status {status}: {await self.last_words()}"

    def __del__(self) -> None:
        self._stream.close()
        self._log.close()
        self._agent.poll()
