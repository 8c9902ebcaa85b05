"""Tables on a terminal."""

from collections.abc import Collection

from lab.report.tables import Table


def text_table(table: Table, left: Collection[int] = (0,)) -> list[str]:
    """Lines with aligned columns, those in `left` to the left and the others to the right."""
    rows = [table.header, *table.rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(table.header))]
    return ["  ".join(_cell(cell, column in left, width)
                      for column, (cell, width) in enumerate(zip(row, widths, strict=True))).rstrip()
            for row in rows]  # fmt: skip


def _cell(cell: str, left: bool, width: int) -> str:
    return cell.ljust(width) if left else cell.rjust(width)
