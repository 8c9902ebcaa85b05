"""What a supervisor tells a load process over its control socket, as the load process reads it.

The records are those of `lab.node.control`, where they are described; clients know no node, so they state here what
they expect of them.  Descriptors ride along in the order given there.
"""

import msgspec


class _Control(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    pass


class Welcome(_Control, tag=6, frozen=True):
    """First record.  Descriptors: own bell (eventfd), own bell page (memfd), own life (pipe, only to be kept open)."""

    client: int
    incarnation: int
    servers: list[tuple[int, str]]


class Attach(_Control, tag=2, frozen=True):
    """A fresh link to server `name`.  Descriptors: memory, the server's bell, its page, a pidfd of it."""

    role: str
    name: int
    incarnation: int
    side: int


class Detach(_Control, tag=3, frozen=True):
    role: str
    name: int


decode_control = msgspec.msgpack.Decoder(Welcome | Attach | Detach).decode
