"""Every process's memory, disk and descriptors over a long run, and below them the load that it was under."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lab.bench.record_long import SoakRecord, Track
from lab.report.style import MUTED, PAPER, caption, colour, new_figure, series_colour, thousands

TITLE = "A long run"


def draw(record: SoakRecord) -> Figure:
    """x: time.  One line a process: heap, log and snapshots on disk, descriptors; then writes/s with p99."""
    figure, (heap, disk, fds, pace) = new_figure(8.6, 4, stacked=True, heights=[3.0, 2.2, 1.4, 1.8])
    unit, scale = ("minutes", 60.0) if record.seconds >= 300 else ("seconds", 1.0)
    at = [at_s / scale for at_s in record.at_s]
    caption(figure, f"{TITLE}: {_verdict(record)}", _notes(record))
    servers = [track for track in record.tracks if track.kind not in ("load", "harness")]
    others = [track for track in record.tracks if track.kind in ("load", "harness")]
    for i, track in enumerate(servers):
        _line(heap, at, track, _heap(track), series_colour(i), f"{track.process} ({track.kind})")
        _line(disk, at, track, "log_mb", series_colour(i), "")
        _line(fds, at, track, "fds", series_colour(i), "")
    for i, track in enumerate(others):
        style = ":" if track.kind == "harness" else ("--", "-.")[i % 2]
        if track.kind == "load":  # the harness, which holds libraries for figures, would set the scale
            _line(heap, at, track, _heap(track), MUTED, track.process, style)
        _line(fds, at, track, "fds", MUTED, "", style)
    for axes, what in ((heap, "heap, MB"), (disk, "log on disk, MB"), (fds, "file descriptors")):
        axes.set_ylabel(what)
        axes.set_ylim(bottom=0.0)
        axes.axvspan(0.0, record.settle_s / scale, color=MUTED, alpha=0.12, linewidth=0)
    if record.tracks:
        heap.legend(loc="lower left", bbox_to_anchor=(0.0, 1.01), ncols=4, frameon=False, fontsize=8.5, borderpad=0.0)
    _pace(pace, record, scale)
    for axes in (heap, disk, fds):
        axes.sharex(pace)
        axes.tick_params(labelbottom=False)
    pace.set_xlim(0.0, record.seconds / scale)
    pace.xaxis.set_major_locator(MaxNLocator(12, steps=[1, 2, 5, 10]))
    pace.set_xlabel(f"{unit} under load")
    return figure


def _heap(track: Track) -> str:
    return "anonymous_mb" if "anonymous_mb" in track.series else "rss_mb"


def _line(ax: Axes, at: list[float], track: Track, what: str, tint: str, label: str, style: str = "-") -> None:
    values = [float("nan") if value is None else value for value in track.series.get(what, [None] * len(at))]
    ax.plot(at, values, style, color=tint, linewidth=1.2, label=label)


def _pace(ax: Axes, record: SoakRecord, scale: float) -> None:
    writes = [*record.writes_per_s, *record.writes_per_s[-1:]]  # the last step ends, too
    at = [step * record.step_s / scale for step in range(len(writes))]
    ax.step(at, writes, where="post", color=colour("writes"), linewidth=1.2)
    ax.set_ylabel(f"writes/s\n(steps of {record.step_s:g} s)", color=colour("writes"))
    ax.set_ylim(bottom=0.0)
    thousands(ax)
    right = ax.twinx()
    right.set_facecolor(PAPER)
    p99 = [float("nan") if value is None else value / 1e3 for value in [*record.p99_us, *record.p99_us[-1:]]]
    right.step(at, p99, where="post", color=colour("observers"), linewidth=1.0)
    right.set_ylabel("p99, ms", color=colour("observers"))
    right.set_ylim(bottom=0.0)
    right.grid(visible=False)
    right.spines["right"].set_visible(True)


def _verdict(record: SoakRecord) -> str:
    if not record.verified:
        return "NOT VERIFIED"
    judged = [found for found in record.growth if found.process.startswith("server")]
    if any(found.verdict == "grows" for found in judged):
        names = sorted({found.what for found in judged if found.verdict == "grows"})
        return f"GROWTH of {', '.join(names)}"
    verdicts = {found.verdict for found in judged}
    if verdicts == {"steady"}:
        return f"{record.acknowledged:,} writes verified, no server grows"
    open_ = "too short to judge growth" if "too short" in verdicts else "growth not decided everywhere"
    return f"{record.acknowledged:,} writes verified, {open_}"


def _notes(record: SoakRecord) -> list[str]:
    s = record.settings
    return [
        "Heap: anonymous memory, without the shared links and the interpreter's files. Dotted: the harness. Shaded: "
        "left out of the slopes, which with their intervals are in the report beside this figure.",
        f"{s.voters} voters + {s.observers} observers, {s.transport}, {s.durability}, a snapshot every "
        f"{s.snap_count:,} writes, log segments of {record.log_segment_bytes >> 20} MiB; {record.machine.cpu}, "
        f"{record.machine.cores} cores, {record.machine.filesystem}.",
        f"Closed loop, {s.clients} clients x {s.outstanding} outstanding, held to {s.rate or 0:,.0f} writes/s "
        f"together, {s.value_bytes}-byte values, {s.keys:,} keys ({s.distribution}). "
        f"Samples: {len(record.at_s):,}; n = 1 run.",
    ]
