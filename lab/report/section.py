"""What a section of the report is: one question with its sentences, tables and figures, beside the grid's own."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from matplotlib.figure import Figure

from lab.report.tables import Table


class SectionFigure(msgspec.Struct, frozen=True):
    """A figure with the rows behind it, as in `lab.report.figures`; its name begins with the section's."""

    name: str
    title: str
    rows: Sequence[Any]
    draw: Callable[[Sequence[Any]], Figure]
    how_to_read: str


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """`name` is the anchor; `printed` lines stand on stdout at the end of `bench` and `report`, too."""

    name: str
    title: str
    lead: str = ""
    sentences: list[str] = []
    tables: list[Table] = []
    figures: list[SectionFigure] = []
    printed: list[str] = []
