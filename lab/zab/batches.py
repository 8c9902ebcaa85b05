"""Making and cutting transaction batches.

A batch is a unit of transfer, not of history (DESIGN 2): truncation and a DIFF that starts inside one cut it.  The
transactions stay opaque here; only the msgpack array around them is opened.
"""

from struct import Struct
from zlib import crc32

import msgspec

from lab.zab.constants import COUNTER_MAX
from lab.zab.messages import TxnBatch
from lab.zab.zxid import Zxid, counter_of

_decode_raws = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode
_encode = msgspec.msgpack.Encoder().encode
_ARRAY16, _ARRAY32 = Struct(">BH"), Struct(">BI")


def make_batch(first: Zxid, count: int, body: bytes) -> TxnBatch:
    """`body` is a msgpack array of `count` transactions; its CRC is computed here, once for the batch's whole life."""
    return TxnBatch(first, count, crc32(body), body)


def find_flaw(batch: TxnBatch) -> str | None:
    """What forbids to log this batch, as far as Zab can tell.

    That its transactions decode is the leader's word: it made them, nobody else can read them before they are applied,
    and a server that cannot stops there.  But their number decides which zxid each one has.
    """
    if crc32(batch.body) != batch.crc:
        return "its checksum is wrong"
    if not batch.body.startswith(array_header(batch.count)):
        return f"its body does not hold the {batch.count} transactions that it says"
    if not 0 < counter_of(batch.first) <= COUNTER_MAX - batch.count:
        return f"its {batch.count} counters are not those of one epoch (Z-10)"
    return None


def array_header(count: int) -> bytes:
    """How a msgpack array of `count` elements begins."""
    if count < 16:
        return bytes((0x90 | count,))
    return _ARRAY16.pack(0xDC, count) if count < 1 << 16 else _ARRAY32.pack(0xDD, count)


def split_batch(batch: TxnBatch, after: Zxid) -> TxnBatch:
    """The part of `batch` after `after`, which must leave something.  Raises MalformedError if the body is no batch."""
    assert after < batch.last, (batch.first, batch.last, after)
    if after < batch.first:
        return batch
    return _cut(batch, after + 1 - batch.first, batch.count)


def prefix_batch(batch: TxnBatch, upto: Zxid) -> TxnBatch:
    """The part of `batch` up to and with `upto`, which must leave something.  Raises like `split_batch`."""
    assert upto >= batch.first, (batch.first, batch.last, upto)
    if upto >= batch.last:
        return batch
    return _cut(batch, 0, upto + 1 - batch.first)


def _cut(batch: TxnBatch, start: int, stop: int) -> TxnBatch:
    txns = _decode_raws(batch.body)
    if len(txns) != batch.count:
        raise msgspec.ValidationError(f"batch at {batch.first:#x}: {len(txns)} transactions, header says {batch.count}")
    return make_batch(batch.first + start, stop - start, _encode(txns[start:stop]))
