"""Write latency at every percentile, as HdrHistogram's plots show it."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from lab.report.rows.latency import SAMPLES_BEYOND, SpectrumRow
from lab.report.style import caption, counts, durations, label_ends, new_figure, series_colour

TITLE = "Write latency at every percentile"


def draw(rows: Sequence[SpectrumRow]) -> Figure:
    """x: 1 / (1 - q), logarithmic: each step right is ten times rarer; y: latency that a share q stayed within."""
    names = list(dict.fromkeys(row.configuration for row in rows))
    figure, (ax,) = new_figure(4.6 + 0.12 * max(0, len(names) - 5))
    caption(figure, TITLE, _notes(rows))
    ends = []
    ax.set_xscale("log")
    ax.set_yscale("log")
    for i, name in enumerate(names):
        line = [row for row in rows if row.configuration == name]
        x, tint = [row.one_in for row in line], series_colour(i)
        ax.plot(x, [row.latency_us for row in line], color=tint, linewidth=1.8)
        banded = [row for row in line if row.low is not None and row.high is not None]
        if banded:
            ax.fill_between([r.one_in for r in banded], [r.low or 0.0 for r in banded], [r.high or 0.0 for r in banded],
                            color=tint, alpha=0.1, linewidth=0)  # fmt: skip
        ends.append((line[-1].one_in, line[-1].latency_us, name, tint))
    last = max(row.one_in for row in rows)
    ticks = [one_in for one_in in (1, 2, 10, 100, 1_000, 10_000, 100_000, 1_000_000) if one_in <= last]
    ax.set_xlim(1, last * 1.05)
    ax.xaxis.set_major_locator(FixedLocator(ticks))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda one_in, _: percentile_text(one_in)))
    durations(ax, "y", 1.0)
    ax.set_xlabel("percentile of writes")
    ax.set_ylabel("latency of one write")
    label_ends(ax, ends, at_edge=True)
    return figure


def percentile_text(one_in: float) -> str:
    """`99.9 %` for one in 1,000; the least latency for one in one."""
    return "min" if one_in <= 1 else f"{100 - 100 / one_in:.10g} %"


def _notes(rows: Sequence[SpectrumRow]) -> list[str]:
    ns, samples = [row.n for row in rows], sorted({row.samples for row in rows})
    span = f"{samples[0]:,}" if len(samples) == 1 else f"{samples[0]:,} to {samples[-1]:,}"
    band = "Line: all processes together; band: fastest to slowest process; " if max(ns) > 1 else ""
    ending = f"each line ends where {SAMPLES_BEYOND} writes are slower."
    return [f"{rows[0].load}.", f"{band}{counts(ns)}; {span} writes a line; {ending}"]
