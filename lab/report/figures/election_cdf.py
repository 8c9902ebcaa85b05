"""Outages after the leader fails, every one of them."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, PercentFormatter

from lab.report.rows.election import OutageRow
from lab.report.style import caption, duration, durations, interval, new_figure, series_colour

TITLE = "Outage after the leader fails"
LOG_FROM = 8  # times between the shortest and the longest outage of a panel


def draw(rows: Sequence[OutageRow]) -> Figure:
    """One panel a fault.  x: outage seen by a client; y: share of failovers at or below; below: every trial."""
    faults = list(dict.fromkeys(row.fault for row in rows))
    figure, axes = new_figure(4.7, len(faults))
    caption(figure, TITLE, _notes(rows))
    most = max(len({row.configuration for row in rows if row.fault == fault}) for fault in faults)
    for fault, ax in zip(faults, axes, strict=True):
        here = [row for row in rows if row.fault == fault]
        _panel(ax, here, most, len(faults))
        ax.set_title(f"{fault} of the leader", pad=10 + 13 * most)
    axes[0].set_ylabel("share of failovers at or below")
    return figure


def _panel(ax: Axes, rows: list[OutageRow], most: int, panels: int) -> None:
    names = list(dict.fromkeys(row.configuration for row in rows))
    for i, name in enumerate(names):
        line, tint = [row for row in rows if row.configuration == name], series_colour(i)
        outages = [row.outage_ms for row in line]
        ax.step([outages[0], *outages], [0.0, *(row.share for row in line)], where="post", color=tint)
        ax.plot([line[0].median_ms], [0.5], "o", color=tint, zorder=5)
        ax.plot(outages, [-0.05 - 0.055 * i] * len(outages), "|", color=tint, markersize=7, alpha=0.7)
    first, last = min(row.outage_ms for row in rows), max(row.outage_ms for row in rows)
    if last > LOG_FROM * first:
        ax.set_xscale("log")
        ax.set_xlim(first / 1.3, last * 1.3)
    else:
        ax.set_xlim(0, last * 1.06)
        ax.xaxis.set_major_locator(MaxNLocator(7 if panels == 1 else 5 if panels == 2 else 3))
    _legend(ax, rows, names)
    ax.set_ylim(-0.05 - 0.055 * most, 1.03)
    ax.yaxis.set_major_locator(FixedLocator([0, 0.25, 0.5, 0.75, 1]))
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    durations(ax, "x", 1_000.0)
    ax.set_xlabel("outage")


def _legend(ax: Axes, rows: list[OutageRow], names: list[str]) -> None:
    """Name, median, interval and n of each line, in its colour: the lines lie too close to be named at their ends.

    It stands over the panel, where no line runs.
    """
    for i, name in enumerate(reversed(names)):
        row = next(row for row in rows if row.configuration == name)
        text = ax.annotate(f"{row.shape}: {median_text(row)}, n = {row.n}", (0, 1), xycoords="axes fraction",
                           xytext=(2, 6 + 13 * i), textcoords="offset points", fontsize=8.5, fontweight="bold",
                           color=series_colour(len(names) - 1 - i))  # fmt: skip
        text.set_in_layout(False)  # the title's padding has made room


def median_text(row: OutageRow) -> str:
    bounds = [None if bound is None else 1_000 * bound for bound in (row.median_low, row.median_high)]
    return duration(1_000 * row.median_ms) + interval(*bounds)


def _notes(rows: Sequence[OutageRow]) -> list[str]:
    settings = " | ".join(dict.fromkeys(row.settings for row in rows))
    return [
        "Fault to the first acknowledged write of the new epoch, as one session with one write outstanding saw it "
        "(closed loop). Dots: medians, in brackets their 95 % intervals; marks below: every failover.",
        f"{settings}.",
    ]
