"""What added servers bring to reads: voters against observers at equal totals."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

from lab.report.rows.reads import ReadRow
from lab.report.style import (
    MUTED,
    caption,
    colour,
    error_bars,
    hollow,
    intervals_text,
    label_ends,
    limited_text,
    new_figure,
    si,
    thousands,
)

TITLE = "What added servers bring to reads"


def draw(rows: Sequence[ReadRow]) -> Figure:
    """x: servers that answer reads; y: reads/s of the whole ensemble; dashed: in proportion to the servers."""
    figure, (ax,) = new_figure(4.5)
    caption(figure, TITLE, _notes(rows))
    base = next(row for row in rows if row.shape == row.baseline)
    servers = sorted({row.servers for row in rows})
    proportional = [base.reads_per_s / base.servers * n for n in (servers[0], servers[-1])]
    ax.plot([servers[0], servers[-1]], proportional, color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)))
    for growth in ("voters", "observers", "both"):
        _line(ax, _of(rows, growth), growth)
    ax.plot([base.servers], [base.reads_per_s], "o", color=colour("none"), zorder=5)
    ax.set_ylim(0, 1.08 * max([*proportional, *(row.reads_high or row.reads_per_s for row in rows)]))
    ax.set_xlim(servers[0] - 0.4, servers[-1] + 0.4)
    ax.xaxis.set_major_locator(FixedLocator(servers))
    thousands(ax)
    ax.set_xlabel("servers in the ensemble, clients at every one")
    ax.set_ylabel("reads per second, whole ensemble")
    _labels(ax, rows, (float(servers[-1]), proportional[1]))
    return figure


def _of(rows: Sequence[ReadRow], growth: str) -> list[ReadRow]:
    return sorted((r for r in rows if r.growth == growth or r.shape == r.baseline), key=lambda r: r.servers)


def _line(ax: Axes, line: list[ReadRow], growth: str) -> None:
    if len(line) > 1:
        ax.errorbar([r.servers for r in line], [r.reads_per_s for r in line],
                    yerr=error_bars([(r.reads_per_s, r.reads_low, r.reads_high) for r in line]), color=colour(growth),
                    marker="o" if growth == "voters" else "s", linestyle="none" if growth == "both" else "-",
                    capsize=3)  # fmt: skip
    hollow(ax, [(r.servers, r.reads_per_s) for r in line if r.client_limited], colour(growth))


def _labels(ax: Axes, rows: Sequence[ReadRow], proportional: tuple[float, float]) -> None:
    ends = [(*proportional, "in proportion", MUTED)]
    for growth in ("voters", "observers"):
        line = _of(rows, growth)
        if len(line) > 1:
            end = line[-1]
            name = "voters only" if growth == "voters" else f"{end.voters} voters + observers"
            ends.append((end.servers, end.reads_per_s, f"{name}, {si(end.reads_per_s)}/s", colour(growth)))
    label_ends(ax, ends, gap_points=14)


def budget_text(share: float | None, mechanism: str) -> str:
    """Which CPU budget the servers ran under."""
    if not share:
        return "No CPU budget: all servers share the host's cores"
    return f"Each server held to {share:.0%} of one CPU ({mechanism})".replace("%", " %")


def _notes(rows: Sequence[ReadRow]) -> list[str]:
    first, busiest = rows[0], max(row.host_busy for row in rows)
    room = f"servers and clients together used at most {busiest:.0%} of the host".replace("%", " %")
    mix = " From the mix at 100 % reads." if all(row.source == "mix" for row in rows) else ""
    limited = limited_text(any(row.client_limited for row in rows))
    return [
        f"{first.load}.{mix}",
        f"{budget_text(first.cpu_share, first.mechanism)}; {room}.",
        f"{intervals_text([row.n for row in rows])}{limited}",
    ]
