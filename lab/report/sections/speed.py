"""The table of bars: what the suite `speed` measured, against what the lab set out to reach, with the floors below."""

from collections.abc import Sequence

from lab.report.reading import Run
from lab.report.rows.floors import FloorRow, GrowthRow, floor_rows, growth_rows
from lab.report.rows.speed import ANOTHER_WORKLOAD, MISSED, REACHED, UNDECIDED, SpeedRow, speed_rows
from lab.report.section import Section
from lab.report.style import duration, interval, si
from lab.report.tables import Table
from lab.report.text import text_table
from lab.report.wording import percent, sentence

BARS = ["figure", "verdict", "measured (95 %)", "n", "× reference", "× outside", "× 4 hops", "CPU µs/op", "bar",
        "reference", "outside", "hangs on"]  # fmt: skip
LEFT = {True: (0, 1, 8, 11), False: (0,)}  # columns of words: of the bars, of the others
FLOORS = ["floor", "median (95 %)", "rounds", "samples", "p99", "CPU µs/op"]
GROWTH = ["one more", "time a write (95 %)", "of a write at 3+0", "CPU a write", "leader bytes a write", "rounds"]

LEAD = (
    "Every row was measured after its run was verified. What is measured is the median of the rounds, of outages that "
    "of all; its interval lies between order statistics from six rounds on, below it is Student's t on the logarithms. "
    "Ratios are medians of single rounds in which both were measured: the reference right beside ours, the outside "
    "system (ZooKeeper under as many outstanding requests) in the same round. A bar is reached, or not, if the whole "
    "interval says so. Beside a ratio stands the number of rounds that have both: what its verdict rests on. CPU "
    "is that of all servers and load processes together."
)


_DURATIONS = {"µs": 1.0, "ms": 1e3}  # as microseconds


def section(run: Run) -> Section | None:
    rows, floors = speed_rows(run), floor_rows(run)
    if not rows and not floors:
        return None
    bars = Table("The bars", BARS, [_bar(row) for row in rows])
    below = Table("Floors of the same run", FLOORS, [_floor(row) for row in floors])
    growth = growth_rows(run)
    more = Table("What one more server costs a write (buffered, 256 outstanding)", GROWTH, [_growth(r) for r in growth])
    tables = [table for table in (bars, more, below) if table.rows]
    return Section(
        name="speed", title="Speed", lead=LEAD if rows else "",
        sentences=[*_count(rows), *_model(growth), *_left_out(run)], tables=tables,
        printed=[line for table in tables for line in ("", table.title, *text_table(table, LEFT[table is bars]))],
    )  # fmt: skip


def _bar(row: SpeedRow) -> list[str]:
    because = [row.because] if row.because and row.verdict in (MISSED, UNDECIDED, ANOTHER_WORKLOAD) else []
    limited = ["the load process was at its limit"] if row.client_limited else []
    limited += ["the outside system's load process was at its limit: it may do more"] if row.outside_limited else []
    return [
        row.title, row.verdict, _value(row.value, row.low, row.high, row.unit), str(row.n) if row.n else "–",
        _times(row.reference_ratio, row.reference_ratio_low, row.reference_ratio_high, row.reference_ratio_n),
        _times(row.outside_ratio, row.outside_ratio_low, row.outside_ratio_high, row.outside_ratio_n),
        _times(row.hops_ratio, row.hops_ratio_low, row.hops_ratio_high, row.hops_ratio_n),
        f"{row.cpu_us_per_op:.3g}" if row.cpu_us_per_op else "–", row.bar,
        _value(row.reference, None, None, row.unit), _value(row.outside, None, None, row.unit),
        "; ".join([*because, *limited]),
    ]  # fmt: skip


def _value(value: float | None, low: float | None, high: float | None, unit: str) -> str:
    if value is None:
        return "–"
    if unit in _DURATIONS and low is not None and high is not None:
        return _plain(value, unit) + interval(low * _DURATIONS[unit], high * _DURATIONS[unit])
    bounds = "" if low is None or high is None else f" ({si(low)}–{si(high)})"
    return f"{_plain(value, unit)}{bounds}"


def _plain(value: float, unit: str) -> str:
    if unit in _DURATIONS:
        return duration(value * _DURATIONS[unit])
    return f"{si(value)}{unit if unit == '/s' else f' {unit}'}"


def _times(value: float | None, low: float | None, high: float | None, n: int) -> str:
    if value is None:
        return "–"
    bounds = "" if low is None or high is None else f"{low:.3g}–{high:.3g}, "
    return f"{value:.3g} ({bounds}n = {n})"


def _floor(row: FloorRow) -> list[str]:
    return [
        row.floor, _value(row.value, row.low, row.high, row.unit), str(row.rounds), f"{row.samples:,}",
        "–" if row.p99 is None else _plain(row.p99, row.unit),
        "–" if row.cpu_us_per_op is None else f"{row.cpu_us_per_op:.3g}",
    ]  # fmt: skip


def _growth(row: GrowthRow) -> list[str]:
    bounds = "" if row.us_low is None or row.us_high is None else f" ({row.us_low:.2g} to {row.us_high:.2g})"
    cells = [row.kind, f"{row.us:+.2g} µs{bounds}", percent(row.share), f"{row.cpu_us:+.2g} µs",
             f"{row.leader_bytes:+,.0f} B", str(row.rounds)]  # fmt: skip
    return [cell.replace("-", "−") for cell in cells]


def _count(rows: Sequence[SpeedRow]) -> list[str]:
    if not rows:
        return []
    counts = [(word, sum(row.verdict == word for row in rows)) for word in (REACHED, MISSED, UNDECIDED)]
    measured = [row for row in rows if row.value is not None]
    said = ", ".join(f"{count} {word}" for word, count in counts)
    text = f"of {len(rows)} bars {len(measured)} were measured: {said}"
    if others := sum(row.verdict == ANOTHER_WORKLOAD for row in rows):
        text += f"; {others} ran under other settings than their bars', which says nothing about these"
    if all(row.reference is None for row in rows):
        text += "; no reference pipeline ran beside them (`bench --prototype FILE`)"
    if all(row.outside is None for row in rows):
        text += "; no outside system was measured"
    return [sentence(text)]


def _model(rows: Sequence[GrowthRow]) -> list[str]:
    """The linear model in words, against what messages cost by arithmetic."""
    if not rows:
        return []
    observer, voter = rows
    said = [
        f"A write at 3+0 takes {observer.base_us:.3g} µs at full load; a plane through {observer.shapes} says that an "
        f"observer adds {observer.us:.2g} µs and a voter {voter.us:.2g} µs, and misses the measured times by "
        f"{percent(observer.residual)} (root mean square).",
        f"By arithmetic each gets a copy of the write from the leader, a voter also a COMMIT a batch: the leader "
        f"sent {observer.base_bytes:,.0f} bytes a write at 3+0, {observer.leader_bytes:,.0f} more an observer and "
        f"{voter.leader_bytes:,.0f} more a voter.",
    ]  # fmt: skip
    return [text.replace(" -", " −") for text in said]


def _left_out(run: Run) -> list[str]:
    wrong = [f"{probe.probe}: {probe.findings[0] if probe.findings else 'not verified'}"
             for probe in run.probes if not probe.verified]  # fmt: skip
    wrong += [f"{one.point}: replicas of the reference differ" for one in run.references if not one.verified]
    if not wrong:
        return []
    return [sentence(f"{len(wrong)} probes or references did not verify and are left out; the first: {wrong[0]}")]
