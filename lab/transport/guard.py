"""What a port does while strangers flood it: the kernel drops what is for no association before it is queued.

Reading a stranger's datagram costs 2 us or more, and when they come faster than they are read the socket's buffer
overflows, which loses friends' datagrams as well.  Linux runs a small program (classic BPF, `SO_ATTACH_FILTER`) on each
datagram as it arrives, on loopback at the sender's expense; ours lets pass what begins with a known prefix.

It is there only while there is a flood: a datagram that comes before its session is known is then dropped, though it
would have been recognised by the time it was read.
"""

import array
import socket
import sys
from collections.abc import Collection
from struct import Struct

FLOOD = 4096  # foreign datagrams within FLOOD_NS are one
FLOOD_NS = 200_000_000
FULL_TURNS = 4  # are one as well, however long they take: a process that gets little of a CPU falls behind sooner
HOLD_NS = 1_000_000_000  # for so long a guard stays up at least
STILL_FLOOD = 1000  # datagrams dropped in that time
PREFIXES_MAX = 128  # the kernel bounds what a socket may keep for itself (net.core.optmem_max, often 20 KiB)

_SO_ATTACH_FILTER, _SO_DETACH_FILTER, _SO_MEMINFO = 26, 27, 55  # asm-generic/socket.h
_LOAD_WORD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06  # linux/filter.h: BPF_LD|BPF_W|BPF_ABS, BPF_JMP|BPF_JEQ, BPF_RET
_UDP_HEADER_BYTES = 8  # the program sees the datagram from there on
_WHOLE = 0xFFFF
_MEMINFO = Struct("@9I")
_fprog = Struct("@HP")  # sock_fprog: length, address
_filter = Struct("=HBBI")  # sock_filter: code, jump if true, jump if false, k


def _instruction(code: int, value: int, otherwise: int = 0) -> int:
    """A jump goes on if the words are equal, and leaves out `otherwise` instructions if they are not."""
    return int.from_bytes(_filter.pack(code, 0, otherwise, value), sys.byteorder)


def program(prefixes: Collection[bytes]) -> "array.array[int]":
    """Lets pass whole what begins with one of `prefixes` (of 8 bytes), and nothing else."""
    code = array.array("Q")
    for prefix in prefixes:
        first, second = int.from_bytes(prefix[:4], "big"), int.from_bytes(prefix[4:], "big")
        code.append(_instruction(_LOAD_WORD, _UDP_HEADER_BYTES))
        code.append(_instruction(_JUMP_IF_EQUAL, first, 3))  # else on to the next prefix
        code.append(_instruction(_LOAD_WORD, _UDP_HEADER_BYTES + 4))
        code.append(_instruction(_JUMP_IF_EQUAL, second, 1))
        code.append(_instruction(_RETURN, _WHOLE))
    code.append(_instruction(_RETURN, 0))
    return code


class Guard:
    """Stands before one socket while it is flooded."""

    def __init__(self, bound: socket.socket) -> None:
        """`bound` stays the caller's."""
        self._socket = bound
        self._counted_at = self._counted = 0  # when and how many there were, read or dropped, at the last look
        self._full_turns = 0  # in a row
        self.is_up = False
        self.is_alert = False  # it wants to be told of a turn that brought nothing foreign, too
        self.filtered = 0  # by the kernel while it was up

    def on_turn(self, foreign: int, is_full: bool, prefixes: Collection[bytes], now: int) -> None:
        """Put itself up if a flood has come, and away if it is over.

        `foreign` datagrams were read since the start.  `is_full`: in this turn as many as may be, most of them foreign.
        """
        elapsed = now - self._counted_at
        if self.is_up:
            if elapsed >= HOLD_NS:
                self._look_again(foreign, now)
        else:
            self._watch(foreign, is_full, prefixes, now, elapsed)
        self.is_alert = self.is_up or self._full_turns > 0

    def _watch(self, foreign: int, is_full: bool, prefixes: Collection[bytes], now: int, elapsed: int) -> None:
        self._full_turns = self._full_turns + 1 if is_full else 0
        if self._full_turns >= FULL_TURNS or (foreign - self._counted >= FLOOD and elapsed < FLOOD_NS):
            is_up = self.admit(prefixes)
            self._counted_at, self._counted = now, self._drops() if is_up else foreign
            self._full_turns = 0
        elif elapsed >= FLOOD_NS:
            self._counted_at, self._counted = now, foreign

    def _look_again(self, foreign: int, now: int) -> None:
        dropped = self._drops() - self._counted
        self.filtered += dropped
        if dropped < STILL_FLOOD:
            self._take_down()
        self._counted_at, self._counted = now, self._counted + dropped if self.is_up else foreign

    def admit(self, prefixes: Collection[bytes]) -> bool:
        """Let only these pass from now on: it is up.  False: that cannot be had, everything passes, it is down."""
        if len(prefixes) > PREFIXES_MAX:
            self._take_down()
            return False
        code = program(prefixes)
        address, length = code.buffer_info()  # read during the call only
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, _fprog.pack(length, address))
        except OSError:  # not Linux, or not allowed here
            self._take_down()
            return False
        self.is_up = True
        return True

    def _take_down(self) -> None:
        if self.is_up:  # then it is a system that has filters
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
            self.is_up = False

    def _drops(self) -> int:
        """Datagrams that the kernel has dropped before they were read, for whatever reason."""
        try:
            found = self._socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
        except OSError:
            return self._counted
        return int(_MEMINFO.unpack(found)[-1])
