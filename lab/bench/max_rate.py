"""`trial --find-max-rate`: the highest rate at which an objective holds and what is offered is done (open loop).

Every step is a trial of its own, on a fresh ensemble and verified: no backlog of a step reaches the next one, and what
differs between processes is part of the interval.
"""

import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

import msgspec

from lab.bench.limits import RATE_MOST, SettingsError
from lab.bench.machine import describe_commit
from lab.bench.progress import Reporter
from lab.bench.rate_search import METHOD, RateSearch
from lab.bench.record import SCHEMA, Machine, Percentiles, Settings, TrialRecord
from lab.bench.results import now_text
from lab.bench.slo import SloError, missed, parse_slo

LEAST_RATE = 1.0
SUITED = {"rate": 10_000.0, "seconds": 2.0, "arrivals": "poisson"}  # unless asked otherwise
STEPS_MAX = 24
OVERHEAD_S = 2.0  # of a step, until the first one has shown it
NEAR = 1.3  # of the limit: windows that missed up to there decide whose limit it is

Measure = Callable[[Settings], TrialRecord]


class RateStep(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One window at one rate."""

    offered: float  # operations/s asked for
    offered_per_s: float  # that the process happened to offer in this window
    achieved: float  # operations/s
    latency_us: dict[str, Percentiles]
    ok: bool  # the objective held, and what was offered was done without an error or an unknown outcome
    why: str  # not
    lag_us: float  # of the generator, 99th percentile
    generator_late: bool
    verified: bool
    seed: int


class MaxRateRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The limit of one configuration; without one, `limited_by` says why there is none."""

    schema: int = SCHEMA
    suite: str = "max-rate"
    target: str
    voters: int
    observers: int
    verified: bool  # every step
    settings: Settings  # of the steps, less rate and seed
    slo: str
    method: str
    max_rate: float | None  # operations/s that hold in half of the windows
    max_rate_interval: tuple[float, float] | None
    at_least: float | None  # the highest rate that held; also known if the limit is not the system's
    limited_by: str  # system, generator, range (no rate that was tried held, or each one did), verification (failed)
    cut_off: bool = False  # after STEPS_MAX windows: the limit was not known as closely yet as was asked for
    steps: list[RateStep]
    started_at: str
    seconds: float  # altogether
    machine: Machine
    commit: str = "unknown"
    dirty: bool = False


def search_fields(fields: dict[str, Any], typed: Collection[str]) -> dict[str, Any]:
    """Options of a search: what was not typed is what suits it."""
    return {**fields, **{field: value for field, value in SUITED.items() if field not in typed}}


def find_max_rate(settings: Settings, slo: str, measure: Measure, shown: Reporter) -> MaxRateRecord:
    """Searches from `settings.rate` on.  Ends early, and without a limit, at a step that fails its verification.

    Raises SettingsError.
    """
    try:
        bounds = parse_slo(slo)
    except SloError as error:
        raise SettingsError(f"--slo: {error}") from error
    if settings.rate is None or settings.rate < LEAST_RATE:
        raise SettingsError(f"--rate: {settings.rate}, allowed with --find-max-rate: {LEAST_RATE:g} to {RATE_MOST:,}")
    if settings.anatomy:
        raise SettingsError("--anatomy, --trace: not with --find-max-rate, which measures many windows; leave them out")
    search, steps = RateSearch(settings.rate, LEAST_RATE, RATE_MOST), list[RateStep]()
    record: TrialRecord | None = None
    started_at, began = now_text(), time.monotonic()
    while len(steps) < STEPS_MAX and (rate := search.next_rate()) is not None:
        _show(shown, rate, len(steps), time.monotonic() - began, settings)
        seed = settings.seed + len(steps)
        record = measure(msgspec.structs.replace(settings, rate=rate, seed=seed))
        step = _step(record, rate, missed(bounds, record.latency_us))
        steps.append(step)
        shown.note(_step_text(step))
        if not step.verified:
            break
        search.add(rate, held=step.ok)
    assert record is not None, "the first rate is always tried"
    cut_off = len(steps) == STEPS_MAX and steps[-1].verified and search.next_rate() is not None
    limited_by = _limited_by(search, steps)
    is_known = limited_by == "system"
    commit, dirty = describe_commit()
    return MaxRateRecord(
        target=settings.target, voters=settings.voters, observers=settings.observers,
        verified=all(step.verified for step in steps), settings=msgspec.structs.replace(settings, rate=None, seed=0),
        slo=slo, method=METHOD, max_rate=search.limit if is_known else None,
        max_rate_interval=search.interval if is_known else None,
        at_least=max((step.offered for step in steps if step.ok), default=None), limited_by=limited_by,
        cut_off=cut_off, steps=steps, started_at=started_at, seconds=time.monotonic() - began, machine=record.machine,
        commit=commit, dirty=dirty,
    )  # fmt: skip


def _step(record: TrialRecord, rate: float, beyond: str) -> RateStep:
    loop = record.open_loop
    assert loop is not None, "a search offers a rate"
    why = beyond
    if not loop.reached:
        why = f"{record.ops_per_s / loop.offered_per_s:.1%} of what was offered was done"
    elif not record.latency_us:
        why = "no operation was completed"
    if record.errors or record.unknown:  # the percentiles are of acknowledged operations only
        why = f"{record.errors:,} errors and {record.unknown:,} operations of unknown outcome"
    if not record.verified:
        why = f"verification failed: {record.checks.findings[0] if record.checks.findings else 'without a finding'}"
    return RateStep(
        offered=rate, offered_per_s=loop.offered_per_s, achieved=record.ops_per_s, latency_us=record.latency_us,
        ok=not why, why=why, lag_us=record.client_lag_us,
        generator_late=loop.generator_late or record.client_limited, verified=record.verified,
        seed=record.settings.seed,
    )  # fmt: skip


def _limited_by(search: RateSearch, steps: Sequence[RateStep]) -> str:
    if not all(step.verified for step in steps):
        return "verification"
    if not search.is_bracketed:
        return "range"
    failed = [step for step in steps if not step.ok]
    near = [step for step in failed if step.offered <= NEAR * search.limit] or failed
    return "generator" if 2 * sum(step.generator_late for step in near) >= len(near) else "system"


def _show(shown: Reporter, rate: float, done: int, spent_s: float, settings: Settings) -> None:
    each_s = spent_s / done if done else settings.warmup + settings.seconds + OVERHEAD_S
    what = f"step {done + 1} of at most {STEPS_MAX}: {rate:,.0f}/s"
    shown.doing(what, done / STEPS_MAX, each_s * (STEPS_MAX - done))


def _step_text(step: RateStep) -> str:
    kinds = ", ".join(
        f"{kind} p50 {use.p50 / 1e3:,.3g} p99 {use.p99 / 1e3:,.3g} ms" for kind, use in step.latency_us.items()
    )
    late = f", the generator was late (p99 {step.lag_us / 1e3:,.3g} ms)" if step.generator_late else ""
    verdict = "holds" if step.ok else f"does not hold: {step.why}"
    return f"{step.offered:,.0f}/s {verdict}; achieved {step.achieved:,.0f}/s, {kinds}{late}"


def max_rate_lines(record: MaxRateRecord) -> list[str]:
    """The outcome for people."""
    held = sum(step.ok for step in record.steps)
    tried = f"{len(record.steps)} windows of {record.settings.seconds:g} s, {held} held, in {record.seconds:.0f} s"
    lines = [f"{record.slo} with {record.settings.arrivals} arrivals: {tried}"]
    at_least = "no rate" if record.at_least is None else f"{record.at_least:,.0f} operations/s"
    if record.max_rate is not None and record.max_rate_interval is not None:
        low, high = record.max_rate_interval
        lines.append(f"  highest rate that holds: {record.max_rate:,.0f}/s (95 %: {low:,.0f} to {high:,.0f})")
    elif record.limited_by == "generator":
        lines.append(f"  the load generator was the limit, not the system: {at_least} held, and the system may do more")
        lines.append("  more load processes (--clients) may reach it")
    elif record.limited_by == "range":
        end = "did not hold even at the least rate tried" if record.at_least is None else "held at every rate tried"
        lines.append(f"  no limit was found: the objective {end}")
    if record.cut_off:
        more = "the interval might have become narrower" if record.max_rate is not None else "the search had not ended"
        lines.append(f"  cut off after {len(record.steps)} windows: {more}")
    lines.append(f"  {record.method}")
    lines.append("  verified: every step" if record.verified else f"  NOT VERIFIED: {record.steps[-1].why}")
    return lines
