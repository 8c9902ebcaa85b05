"""The pages of a report: `index.html`, which needs nothing beside itself, and `report.md`."""

import re
from collections.abc import Sequence

import jinja2
import msgspec
from markupsafe import Markup

from lab.report.about import badges, commands, machine_facts, method, subtitle, threats
from lab.report.reading import Run
from lab.report.style import THEME, dark_of
from lab.report.tables import Table
from lab.report.verdicts import Finding

# Spaces at which no line may break: before units, and around the sign of `n = 6`.
_UNBROKEN = re.compile(r"(?<=\d) (?=%|µs|ms|[kM]\b)|(?<=\bn) (?==)|(?<==) ")


class PageFigure(msgspec.Struct, frozen=True):
    """One figure as the page needs it; `svg` is empty where the run measured nothing to draw."""

    name: str
    title: str
    how_to_read: str
    svg: str


class PageSection(msgspec.Struct, frozen=True):
    """A section (`lab.report.section`) with its figures drawn."""

    name: str
    title: str
    lead: str
    sentences: list[str]
    tables: list[Table]
    figures: list[PageFigure]


def render(run: Run, findings: Sequence[Finding], figures: Sequence[PageFigure], tables: Sequence[Table],
           sections: Sequence[PageSection] = ()) -> tuple[str, str]:  # fmt: skip
    """(index.html, report.md)."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("lab.report"), undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, autoescape=jinja2.select_autoescape(["html.j2"]), keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters["cell"] = lambda text: text.replace("|", "\\|").replace("\n", " ")
    environment.filters["unbroken"] = lambda text: _UNBROKEN.sub("\u00a0", text)
    dark = dark_of()
    facts = {
        "name": run.path.resolve().name, "findings": findings, "badges": badges(run), "tables": tables,
        # drawn here, and text in it is paths: nothing of the records' is markup
        "figures": [drawn(figure) for figure in figures],
        "sections": [(section, [drawn(figure) for figure in section.figures]) for section in sections],
        "machine": machine_facts(run.info.machine), "versions": sorted(run.info.machine.versions.items()),
        "commands": commands(run), "method": method(run), "threats": threats(run), "subtitle": subtitle(run),
        "colours": [(variable(tint), tint, dark[tint]) for tint in dark],
    }  # fmt: skip
    html, markdown = (environment.get_template(f"report.{kind}.j2").render(facts) for kind in ("html", "md"))
    return html, markdown


def drawn(figure: PageFigure) -> tuple[PageFigure, Markup]:
    return figure, Markup(inline_svg(figure.svg, figure.name))


def inline_svg(svg: str, name: str) -> str:
    """The drawing as part of a page: ids of its own, colours that follow the page's theme, as wide as its place."""
    svg = svg[svg.index("<svg") :] if svg else ""
    svg = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r'(<svg [^>]*?)\swidth="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg [^>]*?)\sheight="[^"]*"', r"\1", svg, count=1)
    for tint in dark_of():
        svg = svg.replace(tint, f"var({variable(tint)})")
    for tint, name_ in THEME.items():
        svg = svg.replace(tint, f"var({name_})")
    return svg


def variable(tint: str) -> str:
    return f"--c{tint.removeprefix('#')}"
