"""The capacity budget: what one voter or observer more costs the leader in messages, bytes and CPU."""

from lab.report.figures.budget import TITLE, draw
from lab.report.reading import Run
from lab.report.rows.budget import BudgetRow, budget_rows, fitted
from lab.report.section import Section, SectionFigure
from lab.report.tables import Table

LEAD = (
    "For each batch of writes the leader sends a PROPOSAL and a COMMIT to each other voter, an INFORM to each observer "
    "and the reply to its client. Messages and bytes follow from that alone; the CPU is split by least squares into a "
    "fixed part, one a voter and one an observer. The residual is how far a measurement is from its prediction."
)
HOW_TO_READ = (
    "A bar that ends at its black mark costs what the formula says. Blue: voters only; orange: with observers. "
    "An observer costs the leader less than a voter where its mark rises less from shape to shape."
)


def section(run: Run) -> Section | None:
    rows = budget_rows(run)
    if not rows:
        return None
    return Section(
        name="budget", title="Capacity budget", lead=LEAD, sentences=_sentences(rows), tables=[_table(rows)],
        figures=[SectionFigure("budget", TITLE, rows, draw, HOW_TO_READ)],
    )  # fmt: skip


def _sentences(rows: list[BudgetRow]) -> list[str]:
    worst = max(rows, key=lambda row: abs(row.bytes / row.bytes_predicted - 1))
    off = f"{abs(worst.bytes / worst.bytes_predicted - 1):.1%}".replace("%", " %")
    said = [f"The leader's bytes for a write are the formula's within {off} "
            f"({worst.shape} is furthest from it)."]  # fmt: skip
    costs = fitted(rows)
    if costs is not None:
        said.append(
            f"CPU of the leader for a write: {costs.base:.2f} µs, and {costs.voter:.2f} µs for each other voter, "
            f"{costs.observer:.2f} µs for each observer."
        )
    return said


def _table(rows: list[BudgetRow]) -> Table:
    header = ["voters + observers", "n", "writes a batch", "messages a batch", "formula", "residual", "bytes a write",
              "formula", "residual", "CPU a write, µs", "line", "residual"]  # fmt: skip
    cells = [
        [row.shape, str(row.n), f"{row.batch:,.1f}", f"{row.frames:.2f}", f"{row.frames_predicted:.0f}",
         _percent(row.frames, row.frames_predicted),
         f"{row.bytes:,.0f}{_between(row.bytes_low, row.bytes_high, 0)}", f"{row.bytes_predicted:,.0f}",
         _percent(row.bytes, row.bytes_predicted),
         f"{row.cpu_us:.2f}{_between(row.cpu_low, row.cpu_high, 2)}",
         "-" if row.cpu_fitted is None else f"{row.cpu_fitted:.2f}",
         "-" if row.cpu_fitted is None else _percent(row.cpu_us, row.cpu_fitted)]
        for row in rows
    ]  # fmt: skip
    return Table("What the leader sends and computes", header, cells)


def _between(low: float | None, high: float | None, digits: int) -> str:
    return "" if low is None or high is None else f" ({low:,.{digits}f} to {high:,.{digits}f})"


def _percent(measured: float, predicted: float) -> str:
    return f"{measured / predicted - 1:+.1%}".replace("%", " %")
