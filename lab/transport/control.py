"""A control socket: datagrams in order, with file descriptors, between a process and the one that started it."""

import array
import socket
from collections.abc import Sequence

DATAGRAM_BYTES_MAX = 1 << 16
FDS_MAX = 16  # in one datagram
_FD_BYTES = array.array("i").itemsize


class ControlSocket:
    """One end of a Unix SEQPACKET socket pair: a datagram arrives whole, once and in order; EOF = the other is gone."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(True)
        self._socket = end
        self._receive_flags = socket.MSG_CMSG_CLOEXEC

    @classmethod
    def pair(cls) -> "tuple[ControlSocket, ControlSocket]":
        """Two connected ends, both close-on-exec."""
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return cls(one), cls(other)

    @classmethod
    def adopt(cls, fd: int) -> "ControlSocket":
        """The end behind an inherited descriptor, which belongs to this object from now on."""
        end = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, fileno=fd)
        end.set_inheritable(False)
        return cls(end)

    def fileno(self) -> int:
        return self._socket.fileno()

    def set_blocking(self, blocking: bool) -> None:
        """Whether `receive` waits; `send` always does."""
        self._receive_flags = socket.MSG_CMSG_CLOEXEC | (0 if blocking else socket.MSG_DONTWAIT)

    def send(self, data: bytes, fds: Sequence[int] = ()) -> None:
        """Send one datagram with copies of `fds`, waiting for room.

        Raises BrokenPipeError or ConnectionResetError if the other end is gone, ValueError if it is too large.
        """
        if len(data) > DATAGRAM_BYTES_MAX or len(fds) > FDS_MAX:
            raise ValueError(
                f"control datagram of {len(data)} bytes and {len(fds)} descriptors: "
                f"at most {DATAGRAM_BYTES_MAX} and {FDS_MAX}"
            )
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self._socket.sendmsg([data], rights, socket.MSG_NOSIGNAL)

    def receive(self) -> tuple[bytes, list[int]] | None:
        """The next datagram and its descriptors (close-on-exec, the caller's to close); None at EOF.

        Raises BlockingIOError if nothing is there and the socket does not block, ValueError for a datagram that is
        larger than the bounds (its descriptors are closed).
        """
        space = socket.CMSG_SPACE(FDS_MAX * _FD_BYTES)
        try:
            data, ancillary, flags, _ = self._socket.recvmsg(DATAGRAM_BYTES_MAX, space, self._receive_flags)
        except ConnectionResetError:  # the other end died with datagrams of ours unread
            return None
        fds = _descriptors(ancillary)
        if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
            for fd in fds:
                socket.close(fd)
            raise ValueError(f"control datagram above {DATAGRAM_BYTES_MAX} bytes or {FDS_MAX} descriptors")
        if not data and not fds:
            return None
        return data, fds

    def close(self) -> None:
        self._socket.close()


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    fds = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % _FD_BYTES])
    return fds.tolist()
