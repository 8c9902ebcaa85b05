"""One results folder to one report folder, from the records alone; the same records give the same bytes."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from lab.report.figures import FIGURES
from lab.report.page import PageFigure, PageSection, render
from lab.report.reading import Run, load_run
from lab.report.saving import save_figure, save_rows
from lab.report.section import Section, SectionFigure
from lab.report.sections import sections
from lab.report.style import styled
from lab.report.tables import tables
from lab.report.verdicts import findings


class Report(msgspec.Struct, frozen=True):
    """What was written, the page first, and what it says; `printed`: lines of its sections for stdout."""

    paths: list[Path]
    sentences: list[str]
    printed: list[str]

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
    said, parts = findings(run), sections(run)
    folder = reports_dir / run.path.resolve().name
    index, text = folder / "index.html", folder / "report.md"
    try:
        (folder / "figures").mkdir(parents=True, exist_ok=True)
        figures, paths = draw_all(run, folder / "figures")
        pages, more = draw_sections(parts, folder / "figures")
        remove_stale(folder / "figures", paths := [*paths, *more])
        html, markdown = render(run, said, figures, tables(run), pages)
        index.write_text(html, encoding="utf-8")
        text.write_text(markdown, encoding="utf-8")
    except OSError as error:
        error.filename = error.filename or str(folder)  # a failed write does not say where it failed
        raise
    sentences = [sentence for finding in said for sentence in finding.sentences]
    return Report([index, text, *paths], sentences, [line for part in parts for line in part.printed])


def draw_all(run: Run, folder: Path) -> tuple[list[PageFigure], list[Path]]:
    """Every figure that the run has rows for, and the files."""
    kinds = [SectionFigure(kind.name, kind.title, kind.rows(run), kind.draw, kind.how_to_read) for kind in FIGURES]
    return _draw(kinds, folder)


def draw_sections(parts: Sequence[Section], folder: Path) -> tuple[list[PageSection], list[Path]]:
    pages, paths = [], []
    for part in parts:
        figures, more = _draw(part.figures, folder)
        pages.append(PageSection(part.name, part.title, part.lead, part.sentences, part.tables, figures))
        paths += more
    return pages, paths


def _draw(kinds: Sequence[SectionFigure], folder: Path) -> tuple[list[PageFigure], list[Path]]:
    """Where there are no rows a figure is not drawn: it has no `svg`, and no files."""
    figures, paths = [], []
    for kind in kinds:
        svg = ""
        if kind.rows:
            with styled():
                drawn = kind.draw(kind.rows)
            paths += [*save_figure(drawn, folder, kind.name), save_rows(kind.rows, folder, kind.name)]
            svg = (folder / f"{kind.name}.svg").read_text(encoding="utf-8")
        figures.append(PageFigure(kind.name, kind.title, kind.how_to_read, svg))
    return figures, paths


def remove_stale(folder: Path, kept: Sequence[Path]) -> None:
    """Files of an earlier report of the run that this one does not have."""
    for stale in {path for ending in ("svg", "png", "csv") for path in folder.glob(f"*.{ending}")} - set(kept):
        stale.unlink()
