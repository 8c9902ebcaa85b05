"""Writing figures: `.svg`, `.png` and the `.csv` of the rows behind them, the same bytes for the same rows."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from matplotlib.figure import Figure

from lab.report.style import DPI, styled


def save_figure(figure: Figure, folder: Path, name: str) -> list[Path]:
    """The figure as `.svg` and `.png`; no dates in them."""
    svg, png = folder / f"{name}.svg", folder / f"{name}.png"
    with styled():
        figure.savefig(svg, metadata={"Date": None})
        figure.savefig(png, dpi=DPI, metadata={"Software": None})
    return [svg, png]


def save_rows(rows: Sequence[Any], folder: Path, name: str) -> Path:
    """One line a row, one column a field; an interval that is not there is an empty cell."""
    path, text = folder / f"{name}.csv", io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if rows:
        writer.writerow(rows[0].__struct_fields__)
        writer.writerows([_cell(value) for value in msgspec.structs.astuple(row)] for row in rows)
    path.write_text(text.getvalue(), encoding="utf-8")
    return path


def _cell(value: Any) -> Any:
    return "" if value is None else f"{value:.9g}" if isinstance(value, float) else value
