"""read_mix draws the same operations whoever asks, and its values name their writer."""

import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.client.history import Kind
from workloads.kinds.read_mix import ReadMix, ReadMixGenerator
from workloads.values import CLIENT_MAX, HEADER_BYTES, value_of, writer_of

cxids = st.integers(0, (1 << 48) - 1)


def set_data(cxid: int, path: str, data: bytes) -> tuple[int, str, bytes]:
    return cxid, path, data


def get_data(cxid: int, path: str) -> tuple[int, str]:
    return cxid, path


def generator(seed: int = 1, client: int = 1, **params: object) -> ReadMixGenerator:
    return ReadMixGenerator(ReadMix(**params), seed, client)


@pytest.mark.parametrize("reads", [0.0, 0.4, 1.0])
def test_operations_do_not_depend_on_how_they_are_cut_into_batches(reads: float) -> None:
    one = generator(reads=reads, keys=50)
    first = 65_536 - 700  # across the end of the tables
    whole = one.batch(first, 1_500, set_data, get_data)
    cut = [op for start in range(first, first + 1_500, 37) for op in one.batch(start, 37, set_data, get_data)]
    assert cut[:1_500] == whole
    assert [op[0] for op in whole] == list(range(first, first + 1_500))


def test_kinds_keys_and_values_say_what_the_batch_holds() -> None:
    one = generator(reads=0.5, keys=50)
    operations = one.batch(130_000, 2_000, set_data, get_data)
    kinds, keys = one.kinds(130_000, 2_000), one.keys(130_000, 2_000)
    for (cxid, path, *data), kind, key in zip(operations, kinds, keys, strict=True):
        assert path == one.paths[key]
        assert data == ([one.value(cxid)] if kind == Kind.WRITE else [])


def test_a_seed_and_a_client_decide_everything() -> None:
    def draw(seed: int, client: int) -> list[object]:
        return generator(seed, client, reads=0.5).batch(0, 200, set_data, get_data)

    assert draw(3, 1) == draw(3, 1)
    assert draw(3, 1) != draw(3, 2)
    assert draw(3, 1) != draw(4, 1)


@pytest.mark.parametrize("reads", [0.1, 0.5, 0.9])
def test_the_share_of_reads_is_what_was_asked(reads: float) -> None:
    kinds = generator(reads=reads).kinds(0, 60_000)
    assert kinds.count(Kind.READ) / 60_000 == pytest.approx(reads, abs=0.01)


def test_uniform_keys_are_drawn_alike() -> None:
    drawn = Counter(generator(keys=20).keys(0, 60_000))
    assert set(drawn) == set(range(20))
    assert max(drawn.values()) < 1.15 * min(drawn.values())


def test_zipf_keys_follow_their_rank() -> None:
    drawn = Counter(generator(keys=500, distribution="zipf", zipf_s=1.0).keys(0, 60_000))
    assert drawn[0] / drawn[9] == pytest.approx(10, rel=0.2)


def test_many_keys_are_all_within_reach() -> None:
    many = generator(keys=100_000)
    assert len(set(many.keys(0, 700_000))) > 95_000
    assert many.paths[99_999] == "/bench/99999"


@given(st.integers(0, CLIENT_MAX), cxids, st.integers(HEADER_BYTES, 300))
def test_a_value_names_its_writer_and_has_its_size(client: int, cxid: int, size: int) -> None:
    value = value_of(5, client, cxid, size)
    assert writer_of(value) == (client, cxid)
    assert len(value) == size


@given(st.binary(max_size=40))
def test_any_bytes_have_a_writer_or_none(data: bytes) -> None:
    writer = writer_of(data)
    assert (writer is None) == (len(data) < HEADER_BYTES)
    if writer is not None and len(data) > HEADER_BYTES:
        assert generator(value_bytes=100).is_intact(data, *writer) is False


def test_an_intact_value_is_recognised_and_one_flipped_bit_is_seen() -> None:
    one = generator(seed=9, client=3)
    value = one.value(77)
    assert one.is_intact(value, 3, 77)
    assert not one.is_intact(value[:-1] + bytes([value[-1] ^ 1]), 3, 77)
    assert not generator(seed=8, client=3).is_intact(value, 3, 77)


def test_load_processes_import_no_numpy() -> None:
    code = "import sys, workloads; workloads.load_workload('config-store'); sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
