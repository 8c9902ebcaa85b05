"""Bytes that processes have sent over TCP, as the kernel counts them; nothing where it does not tell.

ZooKeeper counts packets, and /proc/PID/io adds up sockets and files.  The kernel's socket diagnostics (what `ss -ti`
shows) have for each connection the bytes that the other side has acknowledged.  A connection that ended takes its count
along, so differences hold over a window in which the ensemble stays as it is.
"""

import os
import socket
import struct
from collections.abc import Iterable
from contextlib import suppress

NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY, NLM_REQUEST_DUMP, NLMSG_ERROR, NLMSG_DONE = 20, 0x301, 2, 3
INET_DIAG_INFO = 2
ESTABLISHED = 1 << 1
INODE_AT, ATTRIBUTES_AT = 68, 72  # in an inet_diag_msg
BYTES_ACKED_AT = 120  # in a tcp_info
ANSWER_BYTES = 1 << 16
TIMEOUT_S = 5.0

_HEAD = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_ATTRIBUTE = struct.Struct("=HH")


def bytes_sent(pids: Iterable[int]) -> dict[int, int]:
    """Of each process over its open connections; 0 where the kernel does not tell."""
    by_inode: dict[int, int] = {}
    with suppress(OSError):
        for family in (socket.AF_INET, socket.AF_INET6):
            by_inode.update(_acknowledged(family))
    return {pid: sum(by_inode.get(inode, 0) for inode in _socket_inodes(pid)) for pid in pids}


def _acknowledged(family: int) -> dict[int, int]:
    """Inode of each established TCP socket of this network namespace, and the bytes that its peer has acknowledged."""
    request = struct.pack("=BBBxI48x", family, socket.IPPROTO_TCP, 1 << (INET_DIAG_INFO - 1), ESTABLISHED)
    found: dict[int, int] = {}
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as netlink:
        netlink.settimeout(TIMEOUT_S)
        netlink.send(_HEAD.pack(_HEAD.size + len(request), SOCK_DIAG_BY_FAMILY, NLM_REQUEST_DUMP, 1, 0) + request)
        while True:
            data, at = netlink.recv(ANSWER_BYTES), 0
            while at + _HEAD.size <= len(data):
                length, kind, *_ = _HEAD.unpack_from(data, at)
                if kind in (NLMSG_DONE, NLMSG_ERROR):
                    return found
                found.update(_counted(data[at + _HEAD.size : at + length]))
                at += (length + 3) & ~3


def _counted(message: bytes) -> dict[int, int]:
    (inode,) = struct.unpack_from("=I", message, INODE_AT)
    at = ATTRIBUTES_AT
    while at + _ATTRIBUTE.size <= len(message):
        length, kind = _ATTRIBUTE.unpack_from(message, at)
        if length < _ATTRIBUTE.size:
            break
        if kind == INET_DIAG_INFO and length >= _ATTRIBUTE.size + BYTES_ACKED_AT + 8:
            (count,) = struct.unpack_from("=Q", message, at + _ATTRIBUTE.size + BYTES_ACKED_AT)
            return {inode: count}
        at += (length + 3) & ~3
    return {}


def _socket_inodes(pid: int) -> set[int]:
    """Of the sockets that a process has open."""
    inodes = set()
    folder = f"/proc/{pid}/fd"
    with suppress(OSError):
        for name in os.listdir(folder):
            with suppress(OSError):  # closed since
                target = os.readlink(f"{folder}/{name}")
                if target.startswith("socket:["):
                    inodes.add(int(target[8:-1]))
    return inodes
