"""What a write costs in messages and bytes, by formula: what every server sends for one committed batch (zab.md 5.3).

The leader sends each other voter a PROPOSAL and a COMMIT and each observer an INFORM, each other voter sends it an ACK,
and its client is answered in one frame; with relays it leaves the INFORMs to them.  Sizes are those of the wire: a
message is a msgpack array behind the learner channel's prefix, in a frame of a ring.  Pings, some bytes ten times a
second, are not in it, nor is the checksum that rings carry on CPUs that reorder stores.
"""

import msgspec

FRAME_BYTES = 8  # length and sequence (lab/transport/ring.py)
PREFIX_BYTES = 9  # kind and session (lab/node/peer_link.py)
_ARRAY, _TAG = 1, 1  # of a record: short arrays, small tags
_SESSION_BYTES = 9  # 63 random bits: all but always the longest integer
_ZXID_BYTES = 9  # an epoch above 0 makes it one, too
_CRC_BYTES = 5


class Write(msgspec.Struct, frozen=True, kw_only=True):
    """A set of a key, with the numbers whose length on the wire depends on how far a run has come."""

    value_bytes: int
    path_bytes: int = len("/bench/00000")
    cxid: int
    version: int


class Sent(msgspec.Struct, frozen=True):
    """What one server sends for one batch."""

    frames: float
    bytes: float


def sent_per_batch(write: Write, count: float, voters: int, observers: int, *, relays: int = 0) -> dict[str, Sent]:
    """By role: leader, follower, observer and, where there are any, relay: a follower that serves observers.

    A batch of `count` such writes of one client at the leader.
    """
    batch = batch_bytes(write, count)
    proposal = inform = message_bytes(batch)
    cumulative = message_bytes(_ZXID_BYTES)
    informs = 0 if relays else observers
    leader = Sent(
        2 * (voters - 1) + informs + 1,
        (voters - 1) * (proposal + cumulative) + informs * inform + reply_bytes(write, count),
    )
    found = {"leader": leader, "follower": Sent(1, cumulative), "observer": Sent(0, 0)}
    if relays:
        share = observers / relays
        found["relay"] = Sent(1 + share, cumulative + share * inform)
    return found


def message_bytes(content: float) -> float:
    """In the ring: a message of one field."""
    return FRAME_BYTES + PREFIX_BYTES + _ARRAY + _TAG + content


def batch_bytes(write: Write, count: float) -> float:
    """A TxnBatch: first zxid, number, checksum and the encoded transactions."""
    body = _array_bytes(count) + count * transaction_bytes(write)
    return _ARRAY + _ZXID_BYTES + _int_bytes(count) + _CRC_BYTES + _bin_bytes(body)


def transaction_bytes(write: Write) -> float:
    """A SetDataTxn: session, cxid, path, data, version."""
    numbers = _SESSION_BYTES + _int_bytes(write.cxid) + _int_bytes(write.version)
    return _ARRAY + _TAG + numbers + _str_bytes(write.path_bytes) + _bin_bytes(write.value_bytes)


def reply_bytes(write: Write, count: float) -> float:
    """A frame of Done: cxid, zxid, version of each."""
    done = _ARRAY + _TAG + _int_bytes(write.cxid) + _ZXID_BYTES + _int_bytes(write.version)
    return FRAME_BYTES + _array_bytes(count) + count * done


# -- msgpack


def _int_bytes(value: float) -> int:
    return 1 if value < 1 << 7 else 2 if value < 1 << 8 else 3 if value < 1 << 16 else 5 if value < 1 << 32 else 9


def _array_bytes(count: float) -> int:
    return 1 if count < 16 else 3 if count < 1 << 16 else 5


def _bin_bytes(size: float) -> float:
    return size + (2 if size < 1 << 8 else 3 if size < 1 << 16 else 5)


def _str_bytes(size: float) -> float:
    return size + (1 if size < 32 else 2 if size < 1 << 8 else 3)
