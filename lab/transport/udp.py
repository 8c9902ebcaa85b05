"""A UDP socket as the lab wants it: runs of datagrams out, whatever has arrived in, large buffers, never blocking.

Linux cuts one large send into datagrams of equal size (`UDP_SEGMENT`, since 4.18) and hands a run of them to the reader
in one piece (`UDP_GRO`, since 5.0), so that a burst costs two system calls and not two for each datagram.  Where the
kernel or a way out does not do it everything works one by one; `segment_bytes_max` and `coalesces` say what it does.
"""

import contextlib
import errno
import select
import socket
from collections.abc import Callable, Sequence
from functools import partial
from struct import Struct
from typing import Any

Address = tuple[str, int]

PAYLOAD_BYTES_MAX = 65_507  # of a datagram: 65,535 less the headers of IPv4 (20) and UDP (8)
BUFFER_BYTES = 8 << 20  # asked for in each direction: more than what can be under way between two hosts of one room
SEGMENTS_MAX = 64  # of one send: UDP_MAX_SEGMENTS before Linux 6.9

_UDP_SEGMENT, _UDP_GRO = 103, 104  # linux/udp.h
_SO_RXQ_OVFL, _SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 40, 32, 33  # asm-generic/socket.h
_READ_BYTES = 1 << 16
_ANCILLARY_BYTES = 64  # room for the size of segments and for the count of datagrams dropped
_segment = Struct("=H")
_UNREACHABLE = {  # the network's own ways to lose a datagram; the window sends what was in it again
    errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM, errno.ECONNREFUSED, errno.ENETUNREACH, errno.EHOSTUNREACH,
    errno.ENETDOWN, errno.EHOSTDOWN, errno.EPERM, errno.EMSGSIZE,
}  # fmt: skip
_UNSENDABLE = _UNREACHABLE | {errno.EACCES, errno.EINVAL}  # also routes that prohibit, and black holes (ip-route(8))
_SLOW_MAX = 1024  # addresses to which runs are known not to go as they are; then all are tried anew


def bind_udp(host: str, port: int = 0) -> socket.socket:
    """A bound socket, close-on-exec; `host` is an address, port 0 lets the kernel choose.  Raises OSError.

    Whether it may be bound there at all is `seal.check_bind`'s to say.
    """
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound


def enlarge_buffers(bound: socket.socket) -> tuple[int, int]:
    """Ask for BUFFER_BYTES each way; returns what the kernel keeps for what comes in, and for what goes out."""
    return (
        _enlarge(bound, _SO_RCVBUFFORCE, socket.SO_RCVBUF),
        _enlarge(bound, _SO_SNDBUFFORCE, socket.SO_SNDBUF),
    )


class UdpSocket:
    """Sends and receives for one process.  Counters are of datagrams, not of system calls, unless they say so."""

    def __init__(self, bound: socket.socket) -> None:
        """Takes over `bound`; `close` closes it."""
        bound.setblocking(False)
        self._socket = bound
        poll = select.poll()
        poll.register(bound, select.POLLIN)
        # true if there is something to `receive`, at a third of what a read costs that finds nothing
        self.has_input: Callable[[], Any] = partial(poll.poll, 0)
        self.receive_buffer_bytes, self.send_buffer_bytes = enlarge_buffers(bound)
        _ask(bound, socket.SOL_SOCKET, _SO_RXQ_OVFL, 1)
        self.coalesces = _ask(bound, socket.IPPROTO_UDP, _UDP_GRO, 1)
        # 0 switches segmentation off for the socket, which it is anyway: the answer says whether the kernel knows it
        self.segment_bytes_max = PAYLOAD_BYTES_MAX if _ask(bound, socket.IPPROTO_UDP, _UDP_SEGMENT, 0) else 0
        self._slow: dict[Address, int] = {}  # the same where the way there takes less
        self.address: Address = bound.getsockname()[:2]
        self.datagrams_sent = self.bytes_sent = self.sends = 0
        self.unsent = 0  # no room in the kernel, or no way there: lost as on a network
        self.oversized = 0  # of them: larger than what the way takes
        self.datagrams_received = self.bytes_received = self.reads = 0
        self.overflowed = 0  # dropped by the kernel because we did not read in time, as far as it has told

    def fileno(self) -> int:
        return self._socket.fileno()

    # -- out -----------------------------------------------------------------------------------------

    def send(self, datagrams: Sequence[bytes], address: Address) -> None:
        """Send them in order, runs of one length in one call; what the kernel does not take is counted and lost."""
        begin, count = 0, len(datagrams)
        segment_bytes_max = self._slow.get(address, self.segment_bytes_max) if self._slow else self.segment_bytes_max
        while begin < count:
            size = len(datagrams[begin])
            end = begin + 1
            if end < count and 0 < size <= segment_bytes_max:
                limit = min(count, begin + min(SEGMENTS_MAX, PAYLOAD_BYTES_MAX // size))
                while end < limit and len(datagrams[end]) == size:
                    end += 1
                if end < limit and 0 < len(datagrams[end]) < size:
                    end += 1  # the last segment may be a shorter one
            if end - begin == 1:
                self._send_one(datagrams[begin], address)
            else:
                self._send_run(datagrams[begin:end], size, address)
            begin = end

    def _send_one(self, datagram: bytes, address: Address) -> None:
        try:
            self.bytes_sent += self._socket.sendto(datagram, address)
        except OSError as error:
            self._lose(1, error)
        else:
            self.datagrams_sent += 1
            self.sends += 1

    def _send_run(self, run: Sequence[bytes], size: int, address: Address) -> None:
        control = [(socket.IPPROTO_UDP, _UDP_SEGMENT, _segment.pack(size))]
        try:
            self.bytes_sent += self._socket.sendmsg(run, control, 0, address)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EIO, errno.EMSGSIZE):
                return self._lose(len(run), error)
            unsent = self.unsent
            for datagram in run:
                self._send_one(datagram, address)
            if self.unsent == unsent:  # it was the run's fault; otherwise there is no way there at all
                # EIO: a device without checksum offload; the others: segments larger than its MTU
                self._note_slow(address, 0 if error.errno == errno.EIO else size - 1)
        else:
            self.datagrams_sent += len(run)
            self.sends += 1

    def _note_slow(self, address: Address, segment_bytes_max: int) -> None:
        if len(self._slow) >= _SLOW_MAX:
            self._slow.clear()
        self._slow[address] = segment_bytes_max

    def _lose(self, count: int, error: OSError) -> None:
        if error.errno not in _UNSENDABLE:
            raise error
        self.unsent += count
        if error.errno == errno.EMSGSIZE:
            self.oversized += count

    # -- in ------------------------------------------------------------------------------------------

    def receive(self) -> list[bytes]:
        """The datagrams that one read brings, at most 64 KiB of them; none if none is there.

        Fresh bytes and not a buffer of ours: what is kept of a datagram is then copied once, not twice (measured: 9.4
        instead of 13.4 us for a run of 46 datagrams of 1,400 bytes).
        """
        try:
            data, ancillary, _, _ = self._socket.recvmsg(_READ_BYTES, _ANCILLARY_BYTES)
        except BlockingIOError:
            return []
        except OSError as error:  # what became of an earlier datagram of ours
            if error.errno not in _UNREACHABLE:
                raise
            return []
        self.reads += 1
        length = len(data)
        self.bytes_received += length
        size = 0
        for level, kind, value in ancillary:
            if level == socket.IPPROTO_UDP and kind == _UDP_GRO:
                size = int.from_bytes(value[:4], "little")
            elif level == socket.SOL_SOCKET and kind == _SO_RXQ_OVFL:
                self.overflowed = int.from_bytes(value[:4], "little")
        if not 0 < size < length:
            self.datagrams_received += 1
            return [data]
        datagrams = [data[begin : begin + size] for begin in range(0, length, size)]
        self.datagrams_received += len(datagrams)
        return datagrams

    @property
    def counters(self) -> dict[str, int]:
        """Since the start."""
        return {
            "socket_datagrams_sent": self.datagrams_sent,
            "socket_bytes_sent": self.bytes_sent,
            "socket_sends": self.sends,
            "socket_datagrams_received": self.datagrams_received,
            "socket_bytes_received": self.bytes_received,
            "socket_reads": self.reads,
            "unsent": self.unsent,
            "oversized": self.oversized,
            "overflowed": self.overflowed,
        }

    def close(self) -> None:
        self._socket.close()


def _ask(bound: socket.socket, level: int, option: int, value: int) -> bool:
    """Whether the kernel knows the option and lets us have it."""
    try:
        bound.setsockopt(level, option, value)
    except OSError:
        return False
    return True


def _enlarge(bound: socket.socket, force: int, option: int) -> int:
    """Beyond the machine's bound where that is permitted."""
    if not _ask(bound, socket.SOL_SOCKET, force, BUFFER_BYTES):
        with contextlib.suppress(OSError):  # a BSD refuses what is above its bound; the buffer is then as it was
            bound.setsockopt(socket.SOL_SOCKET, option, BUFFER_BYTES)
    return bound.getsockopt(socket.SOL_SOCKET, option)
