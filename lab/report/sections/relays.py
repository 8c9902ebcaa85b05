"""Followers that relay to observers: what the leader is spared, and what that does to writes."""

from lab.report.figures.relays import TITLE, draw
from lab.report.reading import Run
from lab.report.rows.relays import RelayEffect, relay_effects, relay_rows
from lab.report.section import Section, SectionFigure
from lab.report.style import duration
from lab.report.wording import change, cost_in_time, count

LEAD = (
    "A leader sends every write to every voter and to every observer. With relays (ZooKeeper: observer masters) it "
    "sends to its voters only, and some followers hand on to the observers what is committed."
)
HOW_TO_READ = (
    "Further left is less: the round mark falls to the line if relaying spares the leader all copies for observers, "
    "and the diamond says what that costs the follower that relays most."
)


def section(run: Run) -> Section | None:
    rows = relay_rows(run)
    if not rows:
        return None
    return Section(
        name="relays",
        title="Who serves the observers",
        lead=LEAD,
        sentences=[_sentence(effect) for effect in relay_effects(run)],
        figures=[SectionFigure("relays", TITLE, rows, draw, HOW_TO_READ)],
    )


def _sentence(effect: RelayEffect) -> str:
    row, without = effect.row, effect.without
    return (
        f"{row.shape}: behind {count(row.relays, 'relay')} the leader sends {row.leader_bytes:,.0f} instead of "
        f"{without.leader_bytes:,.0f} bytes for a write ({row.leader_copies} instead of {without.leader_copies} copies "
        f"would be {row.leader_bytes_expected:,.0f}), the busiest follower {row.follower_bytes:,.0f}; CPU of the "
        f"leader for a write {duration(row.leader_cpu_us)}, {cost_in_time(effect.leader_cpu)}. Relaying "
        f"{change(effect.throughput, 'write throughput')}."
    )
