"""Knobs: where does it help to turn one, by how much, and what does it take?"""

from collections.abc import Sequence

from lab.report.figures import knobs as figure
from lab.report.reading import Run
from lab.report.rows.knobs import KNOBS, KnobEffect, knob_effects, knob_rows
from lab.report.section import Section, SectionFigure
from lab.report.statistics import holm, judge
from lab.report.style import duration
from lab.report.wording import change, sentence, signed

TOPICS = {
    "pipeline": "Batches",
    "durability": "Durability",
    "leader-serves": "A leader without clients",
    "wait": "Waiting",
    "placement": "CPU placement",
}


CHANCE = 0.05
LEAD = (
    "One setting is turned at a time, the others are as usual: three voters, one client at the leader, buffered, "
    "unless the knob is about that. Throughput decides what helps, where that survives Holm's adjustment over all "
    "values and loads of the knob; the 99th percentile and CPU are told where their intervals exclude no change."
)
HOW_TO_READ = (
    "Each row of panels is one load. A value helps where its mark is right of the dotted line in throughput or left "
    "of it in latency; what that takes is in the CPU of the right panel."
)


def section(run: Run) -> Section | None:
    """Of the knobs that were turned in this run."""
    found = {name: effects for name, knob in KNOBS.items() if (effects := knob_effects(run, knob))}
    if not found:
        return None
    return Section(
        name="knob", title="Knobs worth turning", lead=LEAD,
        sentences=[said for name, effects in found.items() for said in turned(effects, TOPICS[name])],
        figures=[_figure(run, name) for name in found],
    )  # fmt: skip


def _figure(run: Run, name: str) -> SectionFigure:
    rows = knob_rows(run, KNOBS[name])
    return SectionFigure(f"knob-{name}", figure.TITLES[name], rows, figure.draw, HOW_TO_READ)


def turned(effects: Sequence[KnobEffect], topic: str) -> list[str]:
    """One sentence a value: what it did to throughput at each load, and where it is worth turning to."""
    said, adjusted = [], _adjusted(effects)
    for value in dict.fromkeys(one.value for one in effects):
        here = [one for one in effects if one.value == value]
        words = {one.panel: _word(one, p) for one, p in zip(effects, adjusted, strict=True) if one.value == value}
        said.append(sentence(f"{topic}, {value} instead of {here[0].usual}: {_changes(here)}{_so(words)}"))
    return said


def _changes(effects: Sequence[KnobEffect]) -> str:
    if all(one.throughput.low is None for one in effects):
        parts = [f"{signed(one.throughput)} throughput at {one.panel}" for one in effects]
        return f"{'; '.join(parts)} (n = {effects[0].throughput.n}, no intervals: hints and not findings)"
    return "; ".join(f"at {one.panel} it {change(one.throughput, 'throughput')}{_beside(one)}" for one in effects)


def _beside(one: KnobEffect) -> str:
    """The tail and the price in CPU, where they changed for sure."""
    found = [
        f"{name} {duration(values[0])} instead of {duration(values[1])}"
        for name, effect, values in (("p99", one.p99, one.p99_us), ("CPU per operation", one.cpu, one.cpu_us))
        if judge(effect, higher_is_better=False).word in ("better", "worse")
    ]
    return f" ({', '.join(found)})" if found else ""


def _adjusted(effects: Sequence[KnobEffect]) -> list[float]:
    """The chance of each difference, given how many there are (Holm); 1 where there is no interval."""
    return holm([1.0 if one.throughput.p is None else one.throughput.p for one in effects])


def _word(one: KnobEffect, p: float) -> str:
    word = judge(one.throughput, higher_is_better=True).word
    return "undecided" if word in ("better", "worse") and p >= CHANCE else word


def _so(words: dict[str, str]) -> str:
    """When it helps, if anything is certain, from the verdict at each load."""
    helps, hurts = ([panel for panel, word in words.items() if word == wanted] for wanted in ("better", "worse"))
    if helps and hurts:
        return f". So it helps at {_all_of(helps)} and hurts at {_all_of(hurts)}"
    if len(words) > 1 and (helps or hurts):
        way, where = ("helps", helps) if helps else ("hurts", hurts)
        return f". So it {way} at {'every load here' if len(where) == len(words) else _all_of(where)}"
    return ". So it makes no difference here" if set(words.values()) == {"equivalent"} else ""


def _all_of(panels: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(panels[:-1]), panels[-1])))
