"""Our ensemble against systems that others built: the same loads, machine and rounds."""

from lab.report.figures.peers import NAMES, TITLE, draw
from lab.report.reading import Run
from lab.report.rows.peers import PeerEffect, PeerRow, peer_effects, peer_rows
from lab.report.section import Section, SectionFigure
from lab.report.statistics import Effect
from lab.report.style import duration, interval, si
from lab.report.tables import Table

HOW_TO_READ = (
    "Both scales are logarithmic: a distance is a ratio. Further right is better on the left, worse on the right."
)
LEAD = (
    "A real Apache ZooKeeper was started on this machine, loaded by the same load processes, which speak its wire "
    "protocol, and verified as far as it can be from outside: every key was read back from every server, every "
    "acknowledged write had to be there, and every checked read had to name the write that it returned."
)


def section(run: Run) -> Section | None:
    rows, effects = peer_rows(run), peer_effects(run)
    if not rows:
        return None
    return Section(
        name="peers",
        title="Against ZooKeeper on the same CPUs",
        lead=LEAD,
        sentences=[_sentence(effect) for effect in effects],
        tables=[_table(rows, effects)],
        figures=[SectionFigure("peers", TITLE, rows, draw, HOW_TO_READ)],
        printed=[_sentence(effect) for effect in effects],
    )


def _sentence(effect: PeerEffect) -> str:
    theirs = NAMES.get(effect.target, effect.target)
    return (
        f"{effect.load}: {_times(effect.throughput)} the throughput of {theirs}, "
        f"median latency {duration(effect.ours_us)} against {duration(effect.theirs_us)}{_limited(effect, theirs)}."
    )


def _limited(effect: PeerEffect, theirs: str) -> str:
    """Whose load processes were at their limit: of that system the throughput is only a lower bound."""
    whose = [name for name, so in (("ours", effect.ours_limited), (theirs, effect.theirs_limited)) if so]
    return f"; the load processes were the limit of {' and of '.join(whose)}, which may do more" if whose else ""


def _times(effect: Effect) -> str:
    if effect.low is None or effect.high is None:
        return f"{effect.ratio:.3g} times (n = {effect.n}, no interval)"
    return f"{effect.ratio:.3g} times ({effect.low:.3g} to {effect.high:.3g}, n = {effect.n})"


def _table(rows: list[PeerRow], effects: list[PeerEffect]) -> Table:
    header = ["load", "system", "n", "operations/s (95 %)", "p50", "p99", "server CPU µs/op", "load processes",
              "ours against it"]  # fmt: skip
    against = {(effect.load, effect.target): _times(effect.throughput) for effect in effects}
    cells = [
        [row.load, row.version or NAMES[row.target], str(row.n), si(row.ops_per_s) + _bounds(row),
         duration(row.p50) + interval(row.p50_low, row.p50_high),
         duration(row.p99) + interval(row.p99_low, row.p99_high),
         f"{row.servers_cpu_us_per_op:,.1f}", "at their limit" if row.client_limited else "",
         against.get((row.load, row.target), "")]
        for row in rows
    ]  # fmt: skip
    return Table("The same loads", header, cells)


def _bounds(row: PeerRow) -> str:
    return "" if row.ops_low is None or row.ops_high is None else f" ({si(row.ops_low)}–{si(row.ops_high)})"
