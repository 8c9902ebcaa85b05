"""Percentiles, histograms, series and history files: what a population is turned into and rests on."""

from pathlib import Path

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given
from hypothesis import strategies as st

from lab.bench.handover import read_history, write_history
from lab.bench.latency import HIGHEST_NS, encode_histogram, percentiles, series
from lab.client.history import COLUMNS, History

latencies = st.lists(st.integers(0, 10**11), min_size=1, max_size=200)


def test_percentiles_are_values_that_occurred_in_microseconds() -> None:
    found = percentiles(np.arange(1, 1001) * 1_000)
    assert (found.p50, found.p90, found.p99, found.p999, found.max) == (500, 900, 990, 999, 1000)
    assert (found.mean, found.count) == (500.5, 1000)


def test_one_value_is_all_percentiles() -> None:
    found = percentiles(np.array([7_000]))
    assert {found.p50, found.p90, found.p99, found.p999, found.max, found.mean} == {7.0}


@given(latencies)
def test_a_histogram_holds_every_value_to_three_digits(values: list[int]) -> None:
    decoded = HdrHistogram.decode(encode_histogram(np.array(values)))
    one_by_one = HdrHistogram(1, HIGHEST_NS, 3)
    for value in values:
        one_by_one.record_value(max(value, 1))
    assert decoded.get_total_count() == len(values)
    for share in (0, 50, 90, 99, 100):
        assert decoded.get_value_at_percentile(share) == one_by_one.get_value_at_percentile(share)


def test_what_is_above_an_hour_counts_as_an_hour() -> None:
    decoded = HdrHistogram.decode(encode_histogram(np.array([HIGHEST_NS * 5])))
    assert decoded.get_max_value() == pytest.approx(HIGHEST_NS, rel=1e-3)


def test_a_series_counts_tenths_of_a_second_and_the_rest() -> None:
    done = np.array([0, 99_999_999, 100_000_000, 249_999_999]) + 7
    assert series(done, 7, 250_000_007) == [2, 1, 1]
    assert series(np.empty(0, np.int64), 7, 250_000_007) == [0, 0, 0]


def a_history(rows: int) -> History:
    history = History(3, [11, 12])
    for number, (name, _) in enumerate(COLUMNS):
        history.columns[name].extend(range(number, number + rows))
    return history


@pytest.mark.parametrize("rows", [0, 1, 1000])
def test_a_history_comes_back_from_its_file_as_it_was(tmp_path: Path, rows: int) -> None:
    written = a_history(rows)
    write_history(written, tmp_path / "h")
    read = read_history(tmp_path / "h")
    assert (read.client, read.sessions, read.columns) == (3, [11, 12], written.columns)


def test_half_a_history_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "h"
    write_history(a_history(100), path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="not a whole history"):
        read_history(path)
    path.write_bytes(b"\x05")
    with pytest.raises(ValueError, match="not a whole history"):
        read_history(path)
