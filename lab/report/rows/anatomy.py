"""Where a write's time goes, and whose disk decides it (zab.md, appendix B and section 12, B-3, B-11)."""

import math
from collections import Counter
from collections.abc import Sequence

import msgspec

from lab.bench.record import Anatomy, Settings, TrialRecord
from lab.report.points import Point, distinguish, group_trials, loop
from lab.report.reading import Run
from lab.report.statistics import estimate

BANDS = ("median", "slowest")  # around the median, the slowest 1 %

PARTS = {  # hops that lie together, as one part of the way
    "to the server": ("schedule", "request link"),
    "on to the leader": ("accept", "forward link"),
    "validate, batch": ("prepare",),
    "leader's log": ("own append", "publish"),
    "proposal": ("proposal link",),
    "follower's log": ("append",),
    "flush": ("flush",),
    "acknowledgement": ("acknowledge", "ack link", "count"),
    "commit": ("announce", "commit link"),
    "apply, answer": ("apply", "answer"),
    "reply": ("reply link",),
}


class AnatomyRow(msgspec.Struct, frozen=True):
    """One part of the way, in one band of one configuration's writes; the parts of a bar add up to its total."""

    configuration: str
    band: str
    part: str
    us: float
    share: float
    total_us: float
    total_low: float | None
    total_high: float | None
    n: int  # trials
    samples: int  # writes followed, in all of them
    load: str


class CloserRow(msgspec.Struct, frozen=True):
    """Whose disk closed the quorum of the sampled batches of one configuration, as shares."""

    configuration: str
    n: int  # trials
    batches: int
    leader: float
    quickest: float  # the follower of each trial that did so most often
    others: float
    batch_txns: float  # mean size of a sampled write's batch


def anatomy_points(run: Run) -> list[tuple[Point, str]]:
    """Configurations whose writes were followed, each with a name."""
    followed = [trial for trial in run.trials if trial.anatomy is not None and trial.anatomy.samples]
    found = group_trials(followed)
    names = (
        distinguish([point.settings for point in found], also=["durability", "outstanding", "attach"]) if found else []
    )
    return list(zip(found, names, strict=True))


def anatomy_rows(run: Run) -> list[AnatomyRow]:
    return [row for point, name in anatomy_points(run) for band in BANDS for row in _bar(point, name, band)]


def closer_rows(run: Run) -> list[CloserRow]:
    return [_closers(point, name) for point, name in anatomy_points(run)]


def _anatomies(point: Point) -> list[Anatomy]:
    return [trial.anatomy for trial in point.trials if trial.anatomy is not None and trial.anatomy.samples]


def _bar(point: Point, name: str, band: str) -> list[AnatomyRow]:
    anatomies = _anatomies(point)
    totals = [getattr(each, f"{band}_us") for each in anatomies]
    total, samples = estimate(point.sample(lambda trial: _total_us(trial, band))), sum(a.samples for a in anatomies)
    rows = []
    for part, hops in PARTS.items():
        share = math.fsum(_band_us(each, hops, band) for each in anatomies) / math.fsum(totals)
        rows.append(AnatomyRow(
            name, band, part, share * total.value, share, total.value, total.low, total.high, total.n, samples,
            loop(point.settings),
        ))  # fmt: skip
    return rows


def _total_us(trial: TrialRecord, band: str) -> float:
    assert trial.anatomy is not None
    return float(getattr(trial.anatomy, f"{band}_us"))


def _band_us(anatomy: Anatomy, hops: Sequence[str], band: str) -> float:
    return math.fsum(getattr(anatomy.hops[hop], band) for hop in hops if hop in anatomy.hops)


def _closers(point: Point, name: str) -> CloserRow:
    counts: Counter[str] = Counter()
    for anatomy in _anatomies(point):
        by_role = sorted(anatomy.closers.items(), key=lambda item: -item[1])
        followers = [count for who, count in by_role if not who.endswith(" leader")]
        counts["leader"] += sum(anatomy.closers.values()) - sum(followers)
        counts["quickest"] += sum(followers[:1])
        counts["others"] += sum(followers[1:])
    batches = counts.total()
    sizes = [each.batch_txns for each in _anatomies(point)]
    leader, quickest, others = (counts[who] / batches for who in ("leader", "quickest", "others"))
    return CloserRow(name, len(sizes), batches, leader, quickest, others, math.fsum(sizes) / len(sizes))


def unmarked(point: Point, run: Run) -> Point | None:
    """What was measured in the same run as this point but for the marking, and the length of its window."""
    wanted = _question(point.settings)
    found = [other for other in group_trials(run.trials) if not other.settings.anatomy and other.suite == point.suite]
    return next((other for other in found if _question(other.settings) == wanted), None)


def _question(settings: Settings) -> Settings:
    return msgspec.structs.replace(settings, anatomy=False, seconds=0.0, warmup=0.0)


def left_out(trials: Sequence[TrialRecord]) -> int:
    """Sampled writes that could not be followed."""
    return sum(t.anatomy.incomplete + t.anatomy.disordered for t in trials if t.anatomy is not None)
