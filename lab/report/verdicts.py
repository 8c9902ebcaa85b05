"""Sentences with numbers: what did observers do here?

Pure functions from rows to text; the page, `report.md` and the terminal show the same ones.  A difference is called
one only if its interval says so; n = 1 gives a number and says that it proves nothing.
"""

from collections.abc import Sequence

import msgspec

from lab.report.points import is_distant, say
from lab.report.reading import Run, settings_of
from lab.report.rows.election import OutageEffect, OutageRow, outage_effects, outage_rows
from lab.report.rows.latency import LatencyEffect, latency_effects
from lab.report.rows.reads import MixEffect, ReadRow, ReadSlope, mix_effects, read_rows, read_slopes
from lab.report.rows.reads import reads_at_equal_totals as equal_reads
from lab.report.rows.writes import EqualTotals, WriteRow, WriteSlope, equal_totals, write_rows, write_slopes
from lab.report.statistics import Effect, Estimate, judge
from lab.report.style import duration, interval, si
from lab.report.wording import change, compared, cost_in_time, count, percent, sentence, signed, times

FAILURES_SAID = 3  # of the measurements that failed, in words


class Finding(msgspec.Struct, frozen=True):
    """What a run says about one topic."""

    topic: str
    sentences: list[str]


def findings(run: Run) -> list[Finding]:
    """Everything a run has to say, most asked first; the last says what it did not show."""
    writes, reads = write_rows(run), read_rows(run)
    said = [
        Finding("Writes", [*observer_cost(writes), *at_equal_totals(equal_totals(run)),
                           *cost_per_server(write_slopes(run)), *leader_traffic(writes)]),
        Finding("Reads", [*read_gain(reads, read_slopes(run)), *reads_alike(equal_reads(run)),
                          *mix_crossing(mix_effects(run))]),
        Finding("Latency", latency_change(latency_effects(run))),
        Finding("Elections", election_change(outage_rows(run), outage_effects(run))),
    ]  # fmt: skip
    kept = [finding for finding in said if finding.sentences]
    if not kept:
        kept = [
            Finding(
                "Nothing compared", ["This run compares no two ensembles; its sections and the table have its numbers."]
            )
        ]
    return [*kept, Finding("Scope", not_shown(run))]


def sentences(run: Run) -> list[str]:
    return [text for finding in findings(run) for text in finding.sentences]


def observer_cost(rows: Sequence[WriteRow]) -> list[str]:
    """Per number of observers: their price in write throughput, and that of as many voters in their stead."""
    said = []
    for panel in dict.fromkeys(row.panel for row in rows):
        here = [row for row in rows if row.panel == panel]
        base = next(row for row in here if row.shape == row.baseline)
        voters = {row.servers: row for row in here if row.growth == "voters"}
        grown = [row for row in here if row.growth == "observers" and row.observers > base.observers]
        chosen = [row for row in grown if row.servers in voters or row is grown[-1]]
        scope = f" ({panel}, {row_loop(base)}; {base.baseline} wrote {si(base.writes_per_s)}/s)"
        for row in chosen if panel == rows[0].panel else chosen[-1:]:
            voters_text = f"{row.voters} {'voter' if row.voters == 1 else 'voters'}"
            text = (f"{count(row.observers, 'observer')} beside {voters_text} ({row.shape}) "
                    f"{change(row.effect, 'write throughput')}")  # fmt: skip
            if other := voters.get(row.servers):
                text += f"; growing to {other.voters} voters instead {change(other.effect, 'it')}"
            said.append(sentence(text + scope))
            scope = ""
    return said


def row_loop(row: WriteRow) -> str:
    """How load was offered, without the small print behind it."""
    return row.load.split(";", 1)[0]


def at_equal_totals(totals: Sequence[EqualTotals]) -> list[str]:
    """The same number of servers, with observers and without."""
    said = []
    for panel in dict.fromkeys(pair.panel for pair in totals):
        parts = [f"{p.mixed} wrote {compared(p.effect)} {p.voters_only}" for p in totals if p.panel == panel]
        said.append(f"At equal totals {'; '.join(parts)} ({panel}).")
    return said


def cost_per_server(slopes: Sequence[WriteSlope]) -> list[str]:
    """What one more server of each kind adds to the time of a write at full load."""
    said = []
    for panel in dict.fromkeys(one.panel for one in slopes):
        here = [one for one in slopes if one.panel == panel]
        parts = [f"each added {one.growth[:-1]} {_microseconds(one.us_per_write)}" for one in here]
        said.append(f"At full load {here[0].shapes[0]} spent {here[0].baseline_us:.3g} µs on a write ({panel}); "
                    f"{' and '.join(parts)} more.")  # fmt: skip
    return said


def _microseconds(fit: Estimate) -> str:
    if fit.low is None or fit.high is None:
        return f"{fit.value:.2g} µs (n = {fit.n}, no interval)".replace("-", "−")
    return f"{fit.value:.2g} µs ({fit.low:.2g} to {fit.high:.2g}, n = {fit.n})".replace("-", "−")


def leader_traffic(rows: Sequence[WriteRow]) -> list[str]:
    """What the leader sends for a write: the resource that every added server takes a piece of."""
    here = [row for row in rows if row.panel == rows[0].panel and row.leader_bytes_per_write > 0]
    if len(here) < 2:
        return []
    parts = [f"{row.leader_bytes_per_write:,.0f} at {row.shape}" for row in here]
    return [f"Bytes that the leader sent for a write: {', '.join(parts)}."]


def read_gain(rows: Sequence[ReadRow], slopes: Sequence[ReadSlope]) -> list[str]:
    """What the largest ensemble with observers brought to reads."""
    grown = [row for row in rows if row.growth == "observers"]
    if not grown:
        return []
    most = max(grown, key=lambda row: row.observers)
    base = next(row for row in rows if row.shape == row.baseline)
    budget = f"with each server held to {percent(most.cpu_share)} of a CPU, " if most.cpu_share else ""
    text = (f"{budget}{count(most.observers, 'observer')} beside {most.voters} voters ({most.shape}) took reads from "
            f"{si(base.reads_per_s)} to {si(most.reads_per_s)}/s, {times(most.effect)}")  # fmt: skip
    slope = next((one.per_server for one in slopes if one.growth == "observers"), None)
    if slope is not None and slope.low is not None and slope.high is not None:
        text += f"; each added {si(slope.value)}/s ({si(slope.low)} to {si(slope.high)})"
    if not most.cpu_share:
        text += "; without a CPU budget the servers share the host's cores, so this is contention and not scaling"
    return [sentence(text)]


def reads_alike(totals: Sequence[tuple[str, str, Effect]]) -> list[str]:
    """Whether voters would have brought as many reads."""
    parts = [f"{mixed} read {compared(effect)} {alone}" for mixed, alone, effect in totals]
    return [f"At equal totals {'; '.join(parts)}."] if parts else []


def mix_crossing(effects: Sequence[MixEffect]) -> list[str]:
    """From which share of reads an ensemble with observers pays off."""
    said = []
    for grown in dict.fromkeys(one.shape for one in effects if not one.shape.endswith("+0")):
        line = sorted((one for one in effects if one.shape == grown), key=lambda one: one.reads)
        parts = [f"{signed(one.effect)} at {percent(one.reads)} reads" for one in line]
        words = [(one.reads, judge(one.effect, higher_is_better=True).word) for one in line]
        gains = [reads for reads, word in words if word == "better"]
        losses = [reads for reads, word in words if word == "worse"]
        text = f"{grown} against {line[0].baseline} in the mix: {', '.join(parts)}"
        if gains and losses and max(losses) < min(gains):
            text += f", so it begins to pay off between {percent(max(losses))} and {percent(min(gains))} reads"
        ns = [one.effect.n for one in line]
        said.append(f"{text} ({'n = 1 each, no intervals' if max(ns) == 1 else f'n = {min(ns)}'}).")
    return said


def latency_change(effects: Sequence[LatencyEffect]) -> list[str]:
    """What attachment, durability and more voters did to the median of single writes: one sentence each."""
    groups: dict[tuple[str, str], list[LatencyEffect]] = {}
    for one in filter(_worth_saying, effects):
        groups.setdefault((one.differs_in, say(one.baseline, _FIELDS[one.differs_in])), []).append(one)
    said = []
    for (differs_in, baseline), line in sorted(groups.items(), key=lambda item: _ORDER.index(item[0][0])):
        parts = [f"{duration(one.p50)} with {say(one.settings, _FIELDS[differs_in])}, {cost_in_time(one.effect)}"
                 for one in line]  # fmt: skip
        first = duration(line[0].baseline_p50)
        said.append(f"One write at a time took {first} (p50) with {baseline}; {'; '.join(parts)}.")
    return said


_FIELDS = {"attach": ("voters", "attach"), "durability": ("voters", "durability"), "ensemble": ("voters",)}
_ORDER = ("attach", "ensemble", "durability")


def _worth_saying(one: LatencyEffect) -> bool:
    """Attachment against the leader or observers against followers, ensembles against 3+0, fsync against buffered."""
    if one.differs_in == "ensemble":
        return (one.baseline.voters, one.baseline.observers) == (3, 0)
    if one.differs_in == "attach":
        return one.baseline.attach == "leader" or one.settings.attach == "observers"
    return one.baseline.durability == "buffered" and one.settings.voters == 3


def election_change(rows: Sequence[OutageRow], effects: Sequence[OutageEffect]) -> list[str]:
    """The outage per fault, and whether more servers changed it."""
    said = []
    for fault in dict.fromkeys(row.fault for row in rows):
        here = [row for row in rows if row.fault == fault]
        changes = [one for one in effects if one.fault == fault]
        baseline = changes[0].baseline if changes else here[0].shape
        first = next(row for row in here if row.shape == baseline)
        bounds = [None if bound is None else 1_000 * bound for bound in (first.median_low, first.median_high)]
        n = f"{first.n} failovers" if first.n > 1 else "1 failover"
        text = (f"After a {fault} of the leader {first.shape} acknowledged writes again in "
                f"{duration(1_000 * first.median_ms)}{interval(*bounds)}, the median of {n}")  # fmt: skip
        parts = [f"{one.shape} in {duration(1_000 * one.median_ms)}, {cost_in_time(one.effect)}" for one in changes]
        said.append("; ".join([text, *parts]) + ".")
    return said


def not_shown(run: Run) -> list[str]:
    """What the reader must not take from this run."""
    said = []
    if run.excluded:
        are = "is" if len(run.excluded) == 1 else "are"
        said.append(sentence(f"{count(len(run.excluded), 'record')} did not pass verification and {are} in no figure; "
                             f"the first because {run.excluded[0].reason}"))  # fmt: skip
    limited = sum(trial.client_limited for trial in run.trials)
    if limited:
        said.append(f"In {limited} of {len(run.trials)} trials the load generator was the limit: "
                    "those throughputs are lower bounds.")  # fmt: skip
    if run.info.failures:
        were = "measurement" if len(run.info.failures) == 1 else "measurements"
        said.append(f"{len(run.info.failures)} {were} failed, and what failed may have been the worst: "
                    f"{'; '.join(run.info.failures[:FAILURES_SAID])}"
                    f"{'; ...' if len(run.info.failures) > FAILURES_SAID else ''}.")  # fmt: skip
    if not run.info.finished:
        said.append("The run was interrupted: what it did not reach is missing.")
    cores = run.info.machine.cores
    said.append(f"Not shown: {_unseen(run)}. All servers and clients shared one host with {count(cores, 'core')}"
                f"{_but_for_hosts(run)}: part of every cost is CPU that they would not share elsewhere.")  # fmt: skip
    return said


def _unseen(run: Run) -> str:
    distant = any(is_distant(one) for one in settings_of(run))
    networks = "real networks (delay and loss are the lab's own)" if distant else "networks"
    return networks if any(one.hosts for one in settings_of(run)) else f"{networks} and separate machines"


def _but_for_hosts(run: Run) -> str:
    several = sum(bool(one.hosts) for one in settings_of(run))
    return f", but for {count(several, 'record')} of several hosts" if several else ""
