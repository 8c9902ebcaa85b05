"""A batch is a unit of transfer, not of history: it can be cut at any zxid."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.zab.batches import find_flaw, make_batch, prefix_batch, split_batch
from lab.zab.messages import MalformedError, TxnBatch
from lab.zab.zxid import make_zxid

FIRST = make_zxid(2, 5)
values = st.recursive(st.none() | st.integers(-5, 1 << 40) | st.binary(max_size=40), st.lists, max_leaves=5)


def batch_of(txns: list[object]) -> TxnBatch:
    return make_batch(FIRST, len(txns), msgspec.msgpack.encode(txns))


@given(txns=st.lists(values, min_size=2, max_size=20), data=st.data())
def test_the_two_parts_are_the_whole(txns: list[object], data: st.DataObject) -> None:
    batch = batch_of(txns)
    at = data.draw(st.integers(1, len(txns) - 1))
    cut = batch.first + at - 1
    before, after = prefix_batch(batch, cut), split_batch(batch, cut)
    assert (before.first, before.last, after.first, after.last) == (batch.first, cut, cut + 1, batch.last)
    assert before == batch_of(txns[:at])
    assert after == make_batch(cut + 1, len(txns) - at, msgspec.msgpack.encode(txns[at:]))
    assert find_flaw(before) is None
    assert find_flaw(after) is None


def test_a_cut_outside_leaves_the_batch_as_it_is() -> None:
    batch = batch_of([1, 2, 3])
    assert split_batch(batch, FIRST - 1) is batch
    assert split_batch(batch, 0) is batch
    assert prefix_batch(batch, batch.last) is batch
    assert prefix_batch(batch, batch.last + 9) is batch


def test_a_cut_that_leaves_nothing_is_our_bug() -> None:
    batch = batch_of([1, 2, 3])
    with pytest.raises(AssertionError):
        split_batch(batch, batch.last)
    with pytest.raises(AssertionError):
        prefix_batch(batch, FIRST - 1)


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x93\x01\x02", msgspec.msgpack.encode([1, 2]), b"\x80"])
def test_a_body_that_is_not_what_the_batch_says_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedError):
        split_batch(make_batch(FIRST, 3, body), FIRST)


@pytest.mark.parametrize("count", [1, 15, 16, 0xFFFF, 0x10000])
def test_a_batch_as_it_is_made_has_no_flaw(count: int) -> None:
    assert find_flaw(make_batch(FIRST, count, msgspec.msgpack.encode([None] * count))) is None


@pytest.mark.parametrize(
    ("batch", "flaw"),
    [
        (TxnBatch(FIRST, 1, 0, b"\x91\xc0"), "checksum"),
        (make_batch(FIRST, 2, b"\x91\xc0"), "does not hold the 2 transactions"),
        (make_batch(FIRST, 1, b""), "does not hold the 1 transactions"),
        (make_batch(FIRST, 1, b"\x81\xc0\xc0"), "does not hold the 1 transactions"),
        (make_batch(FIRST, 16, b"\xdc\x00\x11"), "does not hold the 16 transactions"),
        (make_batch(FIRST, 1 << 16, b"\xdc\x00\x00"), "does not hold the 65536 transactions"),
        (make_batch(make_zxid(1, 0), 1, b"\x91\xc0"), "not those of one epoch"),  # NEWLEADER's zxid (zab.md 1.2)
        (make_batch(make_zxid(1, 0xFFFFFFFE), 2, b"\x92\xc0\xc0"), "not those of one epoch"),
        (make_batch(make_zxid(1, 0xFFFFFFFF), 1, b"\x91\xc0"), "not those of one epoch"),
    ],
)
def test_a_flaw_is_found(batch: TxnBatch, flaw: str) -> None:
    assert flaw in str(find_flaw(batch))
    assert find_flaw(make_batch(make_zxid(1, 0xFFFFFFFE), 1, b"\x91\xc0")) is None
