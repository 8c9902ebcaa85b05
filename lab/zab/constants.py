"""Numbers fixed by the protocol; what a user may turn is in `config`."""

from typing import Final

EPOCH_BITS: Final = 32
COUNTER_BITS: Final = 32
assert EPOCH_BITS + COUNTER_BITS == 64, "a zxid is one 64-bit integer on the wire"

COUNTER_MAX: Final = (1 << COUNTER_BITS) - 1
EPOCH_MAX: Final = (1 << (EPOCH_BITS - 1)) - 1  # zxids stay below 2**63: they are signed on ZooKeeper's wire
ZXID_MAX: Final = (EPOCH_MAX << COUNTER_BITS) | COUNTER_MAX
EPOCH_LEAP_MAX: Final = 1 << 24  # no ensemble elects so often while one of its servers sleeps
ROUND_LEAP_MAX: Final = 1 << 32  # of an election's round, which counts from 1 in each process
NO_ZXID: Final = -1  # "none": a wiped server's history; sorts below every real zxid (Z-12)

PEER_ID_MAX: Final = 254  # the top byte of a session id carries it (zab.md 1.1)
SERVERS_MAX: Final = 13
