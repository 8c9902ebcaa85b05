"""Parts of a server then and now, as the figure needs them."""

from collections.abc import Sequence

import msgspec

from lab.report.compare import CompareRow


class PartChangeRow(msgspec.Struct, frozen=True):
    """CPU of one part per operation; ratio is now / the last reference."""

    part: str
    ns: float
    reference_ns: float
    ratio: float
    low: float | None
    high: float | None
    n: int
    verdict: str  # better is faster


def part_change_rows(compared: Sequence[CompareRow]) -> list[PartChangeRow]:
    """Those with an interval; without one a ratio would look like a finding."""
    return [
        PartChangeRow(row.configuration, row.b, row.a, row.effect.ratio, row.effect.low, row.effect.high, row.effect.n,
                      row.verdict.word)
        for row in compared
        if row.effect.low is not None
    ]  # fmt: skip
