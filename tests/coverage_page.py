"""docs/coverage.md: which test covers which row, collected from the tests themselves.

python test      @pytest.mark.covers("X-47", "Z-1") on a test function, or as the module's pytestmark
scenario         rows in the comment that opens tests/scenarios/*.txt, before its first colon or in parentheses
invariant        lab/sim/invariants/inv*.py, checked at every step of the simulator; its docstring names it
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import takewhile
from pathlib import Path

from coverage_rows import REASONS, ROWS, SECTIONS

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "coverage.md"
SCENARIOS = ROOT / "tests" / "scenarios"
INVARIANTS = ROOT / "lab" / "sim" / "invariants"
ROW = re.compile(r"(?<![\w-])(?:S\d+b?|E\d|F\d[ab]?|P\d|X-\d+|Z-\d+|INV-\d+b?)(?![\w-])")

Link = tuple[str, str]  # what is shown, and the file from the page's folder
Coverage = Mapping[str, list[Link]]

INTRODUCTION = """\
# What is tested

Every row of the protocol reference with the tests that cover it, or why there is none.  Written by
`pytest --rewrite tests/test_coverage.py` from the tests, which name the rows they cover; a test compares it.

A name in *italics* is a scenario, a script with the trace that it must leave; one in **bold** an invariant, checked at
every step of the simulator; the others are tests.
"""


def collect() -> Coverage:
    """The tests of every row that has one; a row may be one that does not exist."""
    found = defaultdict[str, list[Link]](list)
    for row, link in [*_scenarios(), *_python_tests(), *_invariants()]:
        if link not in found[row]:
            found[row].append(link)
    return dict(found)


def _scenarios() -> Iterator[tuple[str, Link]]:
    for path in sorted(SCENARIOS.glob("*.txt")):
        opening = " ".join(takewhile(lambda line: line.startswith("#"), path.read_text().splitlines()))
        claims = [
            opening.partition(":")[0],
            *re.findall(r"\(([^)]*)\)", opening),
        ]  # elsewhere a row is only talked about
        for row in ROW.findall(" ".join(claims)):
            yield row, (f"*{path.stem}*", f"../tests/scenarios/{path.name}")


def _python_tests() -> Iterator[tuple[str, Link]]:
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        target = f"../{path.relative_to(ROOT).as_posix()}"
        tree = ast.parse(path.read_text())
        for row in _rows_of_module(tree):
            yield row, (path.name, target)
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                for decorator in node.decorator_list:
                    for row in _rows_of_mark(decorator):
                        yield row, (node.name.removeprefix("test_").replace("_", " "), target)


def _rows_of_module(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "pytestmark" for t in node.targets):
            marks = node.value.elts if isinstance(node.value, ast.List | ast.Tuple) else [node.value]
            for mark in marks:
                yield from _rows_of_mark(mark)


def _rows_of_mark(mark: ast.expr) -> Iterator[str]:
    if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.covers":
        for argument in mark.args:
            yield ast.literal_eval(argument)


def _invariants() -> Iterator[tuple[str, Link]]:
    for path in sorted(INVARIANTS.glob("inv*.py")):
        opening = (ast.get_docstring(ast.parse(path.read_text())) or "").partition(":")[0]
        for row in ROW.findall(opening):
            yield row, (f"**{path.stem}**", f"../{path.relative_to(ROOT).as_posix()}")


def find_faults(coverage: Coverage, reasons: Mapping[str, str] = REASONS) -> list[str]:
    """What is wrong with the mapping, one line each."""
    faults = [
        f"{row} is named by {coverage[row][0][0]}, but there is no such row" for row in coverage if row not in ROWS
    ]
    faults += [f"{row} has a reason, but there is no such row" for row in reasons if row not in ROWS]
    for row, title in ROWS.items():
        if row not in coverage and row not in reasons:
            faults.append(f"{row} ({title}) has neither a test nor a reason")
        elif row in coverage and row in reasons:
            faults.append(f"{row} is covered by {coverage[row][0][0]}: take its reason away")
    return faults


def write_page(coverage: Coverage, reasons: Mapping[str, str] = REASONS) -> str:
    lines = [INTRODUCTION]
    for section, rows in SECTIONS.items():
        covered = sum(row in coverage for row in rows)
        lines += [f"## {section}", "", f"{covered} of {len(rows)} have a test.", ""]
        lines += ["| row | about | tests |", "|---|---|---|"]
        for row, title in rows.items():
            links = ", ".join(f"[{name}]({target})" for name, target in coverage.get(row, []))
            lines.append(f"| {row} | {title} | {links or reasons.get(row, '')} |")
        lines.append("")
    return "\n".join(lines)
