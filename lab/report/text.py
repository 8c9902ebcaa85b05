"""Tables on a terminal."""

from lab.report.tables import Table


def text_table(table: Table) -> list[str]:
    """Lines with aligned columns: the first two and the last to the left, the others to the right."""
    rows = [table.header, *table.rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(table.header))]
    return ["  ".join(_cell(cell, column, widths) for column, cell in enumerate(row)).rstrip() for row in rows]


def _cell(cell: str, column: int, widths: list[int]) -> str:
    if column in (0, 1, len(widths) - 1):
        return cell.ljust(widths[column])
    return cell.rjust(widths[column])
