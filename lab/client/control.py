"""What a supervisor tells a load process over its control socket, as the load process reads it.

The records are those of `lab.node.control`, where they are described; clients know no node, so they state here what
they expect of them.  Descriptors ride along in the order given there.
"""

import msgspec

from lab.faults import Shape


class _Control(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    pass


class Datagrams(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    udp_key: bytes
    udp_mtu_bytes: int
    keepalive_ns: int
    dead_after_ns: int
    seed: int


class Welcome(_Control, tag=6, frozen=True):
    """First record.  Descriptors: own bell (eventfd), own bell page (memfd), own life (pipe, only to be kept open), and
    over UDP the own socket.
    """

    client: int
    incarnation: int
    servers: list[tuple[int, str]]
    datagrams: Datagrams | None = None


class Attach(_Control, tag=2, frozen=True):
    """A fresh link to server `name`.  Descriptors: memory, the server's bell, its page, a pidfd of it.

    With an `address` only the last one, or none.
    """

    role: str
    name: int
    incarnation: int
    side: int
    link: int = 0
    address: tuple[str, int] | None = None
    shape: Shape | None = None


class Reshape(_Control, tag=11, frozen=True):
    """What is done from now on to datagrams that come in over the link to server `name`."""

    role: str
    name: int
    shape: Shape | None


class Detach(_Control, tag=3, frozen=True):
    role: str
    name: int


decode_control = msgspec.msgpack.Decoder(Welcome | Attach | Reshape | Detach).decode
