"""The table of everything: each configuration of a run with its numbers, as text cells."""

import msgspec

from lab.bench.record import PHASES, TrialRecord
from lab.report.points import FailoverPoint, Point, group_failovers, group_trials, linked, loop, say, shape, turned
from lab.report.reading import Run
from lab.report.rows.writes import leader_bytes
from lab.report.statistics import Sample, estimate, median_estimate
from lab.report.style import duration, interval, si


class Table(msgspec.Struct, frozen=True):
    """Cells as text, the first column naming the row."""

    title: str
    header: list[str]
    rows: list[list[str]]


def tables(run: Run) -> list[Table]:
    points = group_trials(run.trials)
    suites = [*_TITLES, *sorted({p.suite for p in points} - _TITLES.keys())]
    found = [_trials(_TITLES.get(suite, suite), here)
             for suite in suites if (here := [p for p in points if p.suite == suite])]  # fmt: skip
    failovers = group_failovers(run.failovers)
    if failovers:
        found.append(_outages(failovers))
    if run.excluded:
        found.append(_excluded(run))
    return found


_TITLES = {"write-latency": "Writes", "read-scaling": "Reads and the mix", "speed": "Speed",
           "network": "Links and distances", "trial": "Single trials"}  # fmt: skip
_TRIALS = ["configuration", "load", "n", "operations/s (95 %)", "write p50", "write p99", "write p99.9", "read p50",
           "read p99", "leader bytes/write", "server CPU µs/op", "client CPU", "errors", "unknown",
           "checked"]  # fmt: skip
_OUTAGES = ["configuration", "n", "outage, median (95 %)", "p95", "longest", *(p.replace("_", " ") for p in PHASES),
            "observer rejoin", "acknowledged", "unknown"]  # fmt: skip


def _trials(title: str, points: list[Point]) -> Table:
    return Table(title, _TRIALS, [_trial_row(point) for point in points])


def _trial_row(point: Point) -> list[str]:
    settings, trials = point.settings, point.trials
    fields = ["voters", "durability", "attach", *(["reads"] if settings.reads else []), *linked(settings),
              *turned(settings)]  # fmt: skip
    if settings.target != "own":
        fields.append("target")
    name = say(settings, fields) + (f", {100 * settings.cpu_share:.0f} % CPU each" if settings.cpu_share else "")
    ops = estimate(point.sample(lambda trial: trial.ops_per_s))
    bounds = f" ({si(ops.low)}–{si(ops.high)})" if ops.low is not None and ops.high is not None else ""
    done = sum(trial.reads + trial.writes for trial in trials)
    cpu_us = 1e6 * sum(server.cpu_s for trial in trials for server in trial.servers) / max(1, done)
    seconds = sum(trial.seconds for trial in trials)
    limited = " (the limit)" if point.client_limited else ""
    return [
        name, loop(settings), str(ops.n), si(ops.value) + bounds,
        *(_latency(point, "write", field) for field in ("p50", "p99", "p999")),
        *(_latency(point, "read", field) for field in ("p50", "p99")),
        _bytes_per_write(trials), f"{cpu_us:.3g}", f"{sum(t.client_cpu_s for t in trials) / seconds:.0%}{limited}",
        f"{sum(t.errors for t in trials):,}", f"{sum(t.unknown for t in trials):,}",
        f"{sum(t.checks.writes + t.checks.reads for t in trials):,}",
    ]  # fmt: skip


def _latency(point: Point, kind: str, field: str) -> str:
    """Mean over processes; not from trials under a CPU budget, where the budget's period is what is seen."""
    if point.settings.cpu_share or any(kind not in trial.latency_us for trial in point.trials):
        return "–"
    sample: Sample = point.sample(lambda trial: getattr(trial.latency_us[kind], field))
    return duration(estimate(sample).value) if all(value > 0 for value in sample.values) else "–"


def _bytes_per_write(trials: tuple[TrialRecord, ...]) -> str:
    """Only where there was nothing but writes: replies to reads are the leader's bytes, too."""
    sent, writes = sum(leader_bytes(trial) for trial in trials), sum(trial.writes for trial in trials)
    return f"{sent / writes:,.0f}" if sent and writes and not any(trial.reads for trial in trials) else "–"


def _outages(points: list[FailoverPoint]) -> Table:
    rows = []
    for point in points:
        outages = sorted(point.outages_ms)
        median = median_estimate(outages)
        bounds = [None if bound is None else 1_000 * bound for bound in (median.low, median.high)]
        p95 = outages[min(len(outages) - 1, int(0.95 * len(outages)))]
        phases = [point.phase_ms(phase) for phase in PHASES]
        rejoins = point.rejoins_ms
        target = ["target"] if point.settings.target != "own" else []
        fields = ["voters", "fault", *target, *linked(point.settings)]
        rows.append([
            say(point.settings, fields), str(median.n), duration(1_000 * median.value) + interval(*bounds),
            *(duration(1_000 * outage) for outage in (p95, outages[-1])),
            *(duration(1_000 * median_estimate(values).value) if values else "–" for values in phases),
            duration(1_000 * median_estimate(rejoins).value) if rejoins else "–",
            f"{sum(r.acknowledged for r in point.records):,}", f"{sum(r.unknown for r in point.records):,}",
        ])  # fmt: skip
    return Table("Elections (phases: medians)", _OUTAGES, rows)


def _excluded(run: Run) -> Table:
    rows = [[shape(one.record.settings), one.record.suite, one.record.started_at, one.reason] for one in run.excluded]
    return Table("Excluded from every figure", ["ensemble", "suite", "started", "why"], rows)
