"""One results folder to one report folder, from the records alone; the same records give the same bytes."""

from pathlib import Path

import msgspec

from lab.report.figures import FIGURES
from lab.report.page import PageFigure, render
from lab.report.reading import Run, load_run
from lab.report.saving import save_figure, save_rows
from lab.report.style import styled
from lab.report.tables import tables
from lab.report.verdicts import findings


class Report(msgspec.Struct, frozen=True):
    """What was written, the page first, and what it says."""

    paths: list[Path]
    sentences: list[str]

    @property
    def entries(self) -> list[Path]:
        """Where to begin reading: the page, the same as Markdown, the folder of the figures."""
        index, text = self.paths[:2]
        return [index, text, index.parent / "figures"]


def build_report(results_dir: Path, reports_dir: Path) -> Report:
    """Write `reports_dir/<run>/` for the run in `results_dir`.  Raises RecordError if that is not a results folder.

    A report that is there is rebuilt; figures that this run has no data for are removed.
    """
    run = load_run(results_dir)
    said = findings(run)
    folder = reports_dir / run.path.resolve().name
    index, text = folder / "index.html", folder / "report.md"
    try:
        (folder / "figures").mkdir(parents=True, exist_ok=True)
        figures, paths = draw_all(run, folder / "figures")
        html, markdown = render(run, said, figures, tables(run))
        index.write_text(html, encoding="utf-8")
        text.write_text(markdown, encoding="utf-8")
    except OSError as error:
        error.filename = error.filename or str(folder)  # a failed write does not say where it failed
        raise
    return Report([index, text, *paths], [sentence for finding in said for sentence in finding.sentences])


def draw_all(run: Run, folder: Path) -> tuple[list[PageFigure], list[Path]]:
    """Every figure that the run has rows for, and the files."""
    figures, paths = [], []
    for kind in FIGURES:
        rows, svg = kind.rows(run), ""
        if rows:
            with styled():
                drawn = kind.draw(rows)
            paths += [*save_figure(drawn, folder, kind.name), save_rows(rows, folder, kind.name)]
            svg = (folder / f"{kind.name}.svg").read_text(encoding="utf-8")
        figures.append(PageFigure(kind.name, kind.title, kind.how_to_read, svg))
    for stale in {path for kind in FIGURES for path in folder.glob(f"{kind.name}.*")} - set(paths):
        stale.unlink()
    return figures, paths
