"""The thread between the stream to a host's agent and local sockets (`lab.cluster.host_link`).

Whoever waits on the descriptors of a local process (control socket, a load process's channel, a pidfd) waits on those
of a remote one in the same way, so nothing of that has to know where a process runs.
"""

import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

import msgspec

from lab.cluster.agent_protocol import Forward, HangUp, Heard, Ping, Report, Request, Unframer, decode_report, frame
from lab.cluster.errors import ClusterError

READ_BYTES = 1 << 18
DATAGRAM_BYTES_MAX = 1 << 16
OUT_BYTES_MAX = 16 << 20  # for the agent; what a run says to one is some hundred bytes at a time
WAITING_BYTES_MAX = 64 << 20  # of one channel, for its reader here
PING_EVERY_S = 1.0
SILENT_AFTER_S = 15.0  # without any answer to so many pings the host is lost
READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class _Relay:
    """The far end of one local socket pair, which stands for a channel of a remote process."""

    def __init__(self, process: int, channel: int, far: socket.socket) -> None:
        far.setblocking(False)
        self.process, self.channel, self.far = process, channel, far
        self.waiting: deque[bytes] = deque()  # until its reader has room
        self.waiting_bytes = 0


class Shuttle:
    """Runs from `start` to `close`, or until the stream ends, the agent is silent or too much waits on either side."""

    def __init__(
        self, name: str, stream: socket.socket, on_report: Callable[[Report], None], on_lost: Callable[[str], None]
    ) -> None:
        """Takes over the stream.  Both are called by the thread; after `on_lost(reason)` nothing is called any more."""
        stream.setblocking(False)
        self._stream, self._on_report, self._on_lost = stream, on_report, on_lost
        self._lock = threading.Lock()  # over the next three
        self._out = bytearray()
        self._asked: list[Callable[[], None]] = []  # what the thread is to do
        self._closing = False
        self._relays: dict[int, list[_Relay]] = {}  # the thread's own, as is what follows
        self._ending: dict[int, Callable[[], None]] = {}  # processes whose last words wait for room
        self._selector = selectors.DefaultSelector()
        self._frames = Unframer()
        self._wake, self._waker = socket.socketpair()
        for end in (self._wake, self._waker):
            end.setblocking(False)
        self._selector.register(stream, READ, None)
        self._selector.register(self._wake, READ, None)
        self._thread = threading.Thread(target=self._run, name=f"host {name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def send(self, request: Request) -> None:
        with self._lock:
            self._out += frame(request)
        self._rouse()

    def relay(self, process: int, ends: list[socket.socket]) -> None:
        """Carry datagrams between these sockets, which it takes over, and the process's channels."""
        self._ask(lambda: self._add(process, ends))

    def end_relay(self, process: int) -> None:
        """Close them; what nobody has read yet is dropped."""
        self._ask(lambda: self._close_relays(process))

    def end_relay_then(self, process: int, then: Callable[[], None]) -> None:
        """Close them once what was heard has found room, then call that.  For `on_report` only."""
        self._ending[process] = then
        self._end_if_empty(process)

    def close(self) -> None:
        with self._lock:
            self._closing = True
        self._rouse()
        self._thread.join()
        self._wake.close()
        self._waker.close()

    def _ask(self, action: Callable[[], None]) -> None:
        with self._lock:
            self._asked.append(action)
        self._rouse()

    def _rouse(self) -> None:
        with suppress(BlockingIOError, OSError):  # full: it will wake; closed: nobody is there to wake
            self._waker.send(b"!")

    # -- the thread

    def _run(self) -> None:
        reason = "it was closed"
        try:
            reason = self._serve()
        except (ClusterError, OSError, ValueError, msgspec.MsgspecError) as error:
            reason = str(error)
        finally:
            for process in list(self._relays):
                self._close_relays(process)
            self._selector.close()
            self._stream.close()
            self._on_lost(reason)

    def _serve(self) -> str:
        """Until the end; why it came."""
        pinged = heard = time.monotonic()
        while True:
            with self._lock:
                asked, self._asked = self._asked, []
                if self._closing:
                    return "it was closed"
            for action in asked:
                action()
            now = time.monotonic()
            if now > heard + SILENT_AFTER_S:
                return f"nothing was heard of it for {SILENT_AFTER_S:g} s"
            if now > pinged + PING_EVERY_S:
                pinged = now
                with self._lock:
                    self._out += frame(Ping(time.monotonic_ns()))
            self._write_stream()
            for key, ready in self._selector.select(max(0.0, pinged + PING_EVERY_S - time.monotonic())):
                if key.fileobj is self._wake:
                    with suppress(BlockingIOError):
                        self._wake.recv(4096)
                elif key.fileobj is self._stream:
                    if ready & READ:
                        if not self._read_stream():
                            return "the connection to its agent ended"
                        heard = time.monotonic()
                else:
                    self._serve_relay(key.data, ready)

    def _write_stream(self) -> None:
        with self._lock:
            if self._out:
                with suppress(BlockingIOError):
                    del self._out[: self._stream.send(self._out)]
            left = len(self._out)
        if left > OUT_BYTES_MAX:
            raise ClusterError(f"its agent does not keep up: more than {OUT_BYTES_MAX:,} bytes for it wait")
        self._selector.modify(self._stream, READ | WRITE if left else READ)

    def _read_stream(self) -> bool:
        data = self._stream.recv(READ_BYTES)
        for body in self._frames.feed(data):
            report = decode_report(body)
            if isinstance(report, Heard):
                self._pass_on(report)
            else:
                self._on_report(report)
        return bool(data)

    def _pass_on(self, heard: Heard) -> None:
        relays = self._relays.get(heard.process)
        if relays is None or relays[heard.channel].far.fileno() < 0:
            return  # nobody listens any more
        relay = relays[heard.channel]
        relay.waiting.append(heard.data)
        relay.waiting_bytes += len(heard.data)
        self._flush(relay)
        if relay.waiting_bytes > WAITING_BYTES_MAX:
            raise ClusterError(
                f"nobody here reads what its process {relay.process} says: more than {WAITING_BYTES_MAX:,} bytes wait"
            )

    def _serve_relay(self, relay: _Relay, ready: int) -> None:
        if ready & WRITE:
            self._flush(relay)
        if ready & READ and relay.far.fileno() >= 0:
            self._read_relay(relay)

    def _read_relay(self, relay: _Relay) -> None:
        while True:
            try:
                data, _, flags, _ = relay.far.recvmsg(DATAGRAM_BYTES_MAX)
            except BlockingIOError:
                return
            except ConnectionResetError:
                data, flags = b"", 0
            if flags & socket.MSG_TRUNC:
                raise ClusterError(f"a datagram above {DATAGRAM_BYTES_MAX:,} bytes for its process {relay.process}")
            if not data:  # its user has closed it
                self._close_relay(relay)
                with self._lock:
                    self._out += frame(HangUp(relay.process, relay.channel))
                return
            with self._lock:
                self._out += frame(Forward(relay.process, relay.channel, data))

    def _flush(self, relay: _Relay) -> None:
        waiting = relay.waiting
        while waiting and relay.far.fileno() >= 0:
            try:
                relay.far.send(waiting[0])
            except BlockingIOError:
                self._selector.modify(relay.far, READ | WRITE, relay)
                return
            except OSError:  # its user has closed it
                self._close_relay(relay)
                break
            relay.waiting_bytes -= len(waiting.popleft())
        if relay.far.fileno() >= 0:
            self._selector.modify(relay.far, READ, relay)
        self._end_if_empty(relay.process)

    def _add(self, process: int, ends: list[socket.socket]) -> None:
        self._relays[process] = [_Relay(process, channel, far) for channel, far in enumerate(ends)]
        for relay in self._relays[process]:
            self._selector.register(relay.far, READ, relay)

    def _end_if_empty(self, process: int) -> None:
        if process in self._ending and not any(relay.waiting for relay in self._relays.get(process, [])):
            self._close_relays(process)
            self._ending.pop(process)()

    def _close_relays(self, process: int) -> None:
        for relay in self._relays.pop(process, []):
            self._close_relay(relay)

    def _close_relay(self, relay: _Relay) -> None:
        relay.waiting.clear()
        relay.waiting_bytes = 0
        if relay.far.fileno() >= 0:
            self._selector.unregister(relay.far)
            relay.far.close()
