"""Where a write's time goes: the parts of its way, stacked, for the median write and for the slowest."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from lab.report.rows.anatomy import BANDS, PARTS, AnatomyRow
from lab.report.style import INK, ON_LIGHT, PAPER, caption, colour, counts, duration, interval, new_figure

TITLE = "Where a write's time goes"
LABEL_FROM = 0.052  # share of a bar that a number needs
LIGHT = {"validate, batch", "proposal", "reply"}  # parts whose colour takes dark text
COLUMNS = 6  # of the legend
BAND_NAMES = {"median": "median", "slowest": "slowest 1 %"}


def draw(rows: Sequence[AnatomyRow]) -> Figure:
    """Two bars a configuration.  x: share of the band's mean latency; numbers: microseconds."""
    names = list(dict.fromkeys(row.configuration for row in rows))
    figure, (ax,) = new_figure(1.95 + 0.86 * len(names))
    caption(figure, TITLE, _notes(rows))
    ticks = []
    for place, name in enumerate(names):
        ax.text(0, place - 0.47, name, ha="left", va="bottom", fontsize=9.5, fontweight="bold", color=INK)
        for band in BANDS:
            at = place - 0.24 + 0.36 * BANDS.index(band)
            ticks.append((at, BAND_NAMES[band]))
            _bar(ax, at, [row for row in rows if row.configuration == name and row.band == band])
    ax.set_yticks([at for at, _ in ticks], [text for _, text in ticks])
    ax.set_ylim(len(names) - 0.6, -0.72)
    ax.set_xlim(0, 1.3)
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
    ax.set_xlabel("share of the latency that the client saw")
    ax.grid(visible=False, axis="y")
    ax.tick_params(axis="y", length=0)
    _legend(ax)
    return figure


def _bar(ax: Axes, at: float, rows: Sequence[AnatomyRow]) -> None:
    left = 0.0
    for row in rows:
        ax.barh(at, row.share, left=left, height=0.31, color=colour(row.part), edgecolor=PAPER, linewidth=0.6)
        if row.share >= LABEL_FROM:
            ax.text(left + row.share / 2, at, f"{row.us:,.0f}", ha="center", va="center", fontsize=8,
                    color=ON_LIGHT if row.part in LIGHT else PAPER)  # fmt: skip
        left += row.share
    total = f"{duration(rows[0].total_us)}{interval(rows[0].total_low, rows[0].total_high)}"
    ax.text(left + 0.012, at, total, ha="left", va="center", fontsize=8.5, color=INK)


def _legend(ax: Axes) -> None:
    """The parts in the order of the way, line by line; matplotlib fills columns."""
    handles = [Patch(facecolor=colour(part), label=part) for part in PARTS]
    by_column = [handles[at] for column in range(COLUMNS) for at in range(column, len(handles), COLUMNS)]
    ax.legend(handles=by_column, loc="lower left", bbox_to_anchor=(-0.11, 1.0), ncols=COLUMNS, frameon=False,
              fontsize=8.5, handlelength=0.9, handletextpad=0.4, columnspacing=1.4, borderaxespad=0.2)  # fmt: skip


def _notes(rows: Sequence[AnatomyRow]) -> list[str]:
    loads = " and ".join(dict.fromkeys(row.load.split(",")[0] for row in rows))
    ns = [row.n for row in rows]
    samples = sorted({row.samples for row in rows})
    followed = f"{samples[0]:,}" if len(samples) == 1 else f"{samples[0]:,} to {samples[-1]:,}"
    ends = " (95 % interval of the trials)" if max(ns) > 1 else ""
    return [
        "Numbers: mean microseconds of each part; median: the writes from the 45th to the 55th percentile.",
        f"Right: their mean latency{ends}. {followed} writes followed in each configuration, {counts(ns, 'trials')}.",
        f"{loads[0].upper()}{loads[1:]}. To the server, proposal, acknowledgement, commit and reply are links: "
        "publishing a frame, waking its reader, waiting for its turn.",
        "Follower's log, flush and acknowledgement are those of the voter that closed the quorum.",
    ]
