"""One module a section: a function from a run to its `Section`, or None where the run measured nothing for it.

This is the list of all, in reading order.
"""

from collections.abc import Callable

from lab.report.reading import Run
from lab.report.section import Section
from lab.report.sections import (
    anatomy,
    budget,
    curves,
    distance,
    distant_outages,
    far,
    far_snapshots,
    knobs,
    large_trees,
    light,
    loss,
    parts,
    peers,
    relays,
    speed,
    transports,
)

SECTIONS: tuple[Callable[[Run], Section | None], ...] = (
    speed.section,
    light.section,
    curves.section,
    peers.section,
    anatomy.section,
    budget.section,
    large_trees.section,
    parts.section,
    knobs.section,
    relays.section,
    transports.section,
    loss.section,
    distance.section,
    distant_outages.section,
    far.section,
    far_snapshots.section,
)


def sections(run: Run) -> list[Section]:
    return [found for make in SECTIONS if (found := make(run)) is not None]
