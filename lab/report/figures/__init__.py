"""One module a figure: it takes rows and returns a matplotlib Figure.  This is the list of all, in reading order."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from matplotlib.figure import Figure

from lab.report.figures import (
    election_cdf,
    election_phases,
    latency_spectrum,
    observer_impact,
    read_ratio,
    read_throughput,
    write_latency,
)
from lab.report.reading import Run
from lab.report.rows.election import outage_rows, phase_rows
from lab.report.rows.latency import latency_rows, spectrum_rows
from lab.report.rows.reads import mix_rows, read_rows
from lab.report.rows.writes import write_rows


class FigureKind(msgspec.Struct, frozen=True):
    """`name` is the file's; `how_to_read` is one sentence for whoever sees such a figure for the first time."""

    name: str
    title: str
    suite: str
    rows: Callable[[Run], Sequence[Any]]
    draw: Callable[[Sequence[Any]], Figure]
    how_to_read: str


FIGURES = (
    FigureKind(
        "observer-impact", observer_impact.TITLE, "write-latency", write_rows, observer_impact.draw,
        "Both lines start at the same ensemble and add servers: the lower a line falls, the more writes each added "
        "server of that kind costs; compare the lines straight above one another, at equal numbers of servers.",
    ),
    FigureKind(
        "read-throughput", read_throughput.TITLE, "read-scaling", read_rows, read_throughput.draw,
        "A line on the dashed one means that every added server brought as many reads as the first ones serve; "
        "where both lines coincide, an observer answers reads as well as a voter.",
    ),
    FigureKind(
        "read-ratio", read_ratio.TITLE, "read-scaling", mix_rows, read_ratio.draw,
        "Left is write-heavy, right is read-heavy: where two lines cross, the larger ensemble begins to pay off.",
    ),
    FigureKind(
        "write-latency", write_latency.TITLE, "write-latency", latency_rows, write_latency.draw,
        "Left is faster: half of the writes were within the round mark (p50), 99 of 100 within the diamond (p99).",
    ),
    FigureKind(
        "latency-spectrum", latency_spectrum.TITLE, "write-latency", spectrum_rows, latency_spectrum.draw,
        "Read upwards at a percentile: a line that stays flat to the right has few slow writes, a bend is where the "
        "tail begins.",
    ),
    FigureKind(
        "election-cdf", election_cdf.TITLE, "election", outage_rows, election_cdf.draw,
        "A steep line is a predictable outage; the height of the line at a time is the share of failovers that were "
        "over by then.",
    ),
    FigureKind(
        "election-phases", election_phases.TITLE, "election", phase_rows, election_phases.draw,
        "From left to right, what has to happen before a client's next write succeeds; the longest stretch is what "
        "tuning should go for.",
    ),
)  # fmt: skip
