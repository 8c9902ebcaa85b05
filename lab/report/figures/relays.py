"""What relaying saves the leader: bytes and CPU of a write there and at the busiest follower, and throughput."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from lab.report.rows.relays import RelayRow
from lab.report.style import (
    MUTED,
    PAPER,
    caption,
    durations,
    error_bars,
    hollow,
    intervals_text,
    limited_text,
    new_figure,
    series_colour,
    si,
)

TITLE = "What relaying to observers saves the leader"
_LEADER, _FOLLOWER = 0, 1
_APART = 0.11  # of leader and follower
_REACH = 1.2  # how far beyond the largest value the axis goes


def draw(rows: Sequence[RelayRow]) -> Figure:
    """y: relays, ensemble by ensemble; x: bytes sent and CPU for a write, writes/s."""
    shapes = list(dict.fromkeys(row.shape for row in rows))
    y = [place + 0.6 * shapes.index(row.shape) for place, row in enumerate(rows)]
    figure, axes = new_figure(1.75 + 0.34 * (len(rows) + 0.6 * len(shapes)), 3)
    caption(figure, TITLE, _notes(rows))
    sent, cpu, throughput = axes
    leader, follower = series_colour(_LEADER), series_colour(_FOLLOWER)
    above, below = ([at + step for at in y] for step in (-_APART, _APART))
    _marks(sent, [(r.leader_bytes, r.leader_bytes_low, r.leader_bytes_high) for r in rows], above, leader, "o")
    _marks(sent, [(r.follower_bytes, None, None) for r in rows], below, follower, "D", filled=False)
    for row, at in zip(rows, y, strict=True):
        sent.plot([row.leader_bytes_expected] * 2, [at - 0.32, at + 0.32], color=MUTED, linewidth=1.4, zorder=0)
    _marks(cpu, [(r.leader_cpu_us, r.leader_cpu_low, r.leader_cpu_high) for r in rows], above, leader, "o")
    _marks(cpu, [(r.follower_cpu_us, r.follower_cpu_low, r.follower_cpu_high) for r in rows], below, follower, "D",
           filled=False)  # fmt: skip
    _marks(throughput, [(r.writes_per_s, r.writes_low, r.writes_high) for r in rows], y, series_colour(2), "s")
    limited = [(r.writes_per_s, at) for r, at in zip(rows, y, strict=True) if r.client_limited]
    hollow(throughput, limited, series_colour(2), "s")
    sent.set_yticks(y, [_name(row) for row in rows])
    sent.set_ylim(y[-1] + 0.6, -0.6)
    largest = (
        max(max(r.leader_bytes, r.follower_bytes) for r in rows),
        max(max(r.leader_cpu_us, r.follower_cpu_us) for r in rows),
        max(r.writes_per_s for r in rows),
    )
    texts = ("bytes sent for a write", "CPU for a write", "writes/s")
    for ax, most, text in zip(axes, largest, texts, strict=True):
        ax.set_xlim(-0.03 * most, _REACH * most)
        ax.xaxis.set_major_locator(MaxNLocator(4))
        ax.grid(visible=False, axis="y")
        ax.set_xlabel(text)
    throughput.xaxis.set_major_formatter(FuncFormatter(lambda value, _: si(value)))
    durations(cpu, "x", 1.0)
    return figure


def _marks(ax: Axes, points: Sequence[tuple[float, float | None, float | None]], y: Sequence[float], tint: str,
           marker: str, *, filled: bool = True) -> None:  # fmt: skip
    ax.errorbar([value for value, _, _ in points], y, xerr=error_bars(points), color=tint, marker=marker,
                markersize=5.5, linestyle="none", capsize=2.5, elinewidth=1.3,
                markerfacecolor=tint if filled else PAPER)  # fmt: skip


def _name(row: RelayRow) -> str:
    relays = f"{row.relays} relay{'s' if row.relays > 1 else ''}" if row.relays else "no relay"
    return f"{row.shape}, {relays}"


def _notes(rows: Sequence[RelayRow]) -> list[str]:
    return [
        "● the leader, ◇ the follower that sends or computes most; line: what the leader sends by counting copies, "
        f"from what it sends without relays. {rows[0].load}; {sum(row.writes for row in rows):,} writes in all.",
        intervals_text([row.n for row in rows]) + limited_text(any(row.client_limited for row in rows)),
    ]
