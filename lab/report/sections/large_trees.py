"""Large trees: bytes a znode, starts, and what a snapshot does to the writes that come meanwhile."""

from lab.report.reading import Run
from lab.report.rows.large_trees import LargeTreeRow, large_tree_rows
from lab.report.section import Section
from lab.report.tables import Table

LEAD = (
    "An ensemble of three voters is filled with znodes of 100 bytes; writes then come at a steady rate (open loop, "
    "latency from the intended time) while one server after the other snapshots its disk. A start is a follower's "
    "that was crashed: from its process until it serves, its snapshot and the log behind it read again."
)


def section(run: Run) -> Section | None:
    rows = large_tree_rows(run)
    if not rows:
        return None
    sentences = [
        f"{row.znodes:,} znodes of 100 bytes take {row.heap_bytes:,.0f} bytes each in a server's memory, the last "
        f"transactions that it keeps included, and {row.snapshot_bytes:,.0f} in a snapshot."
        for row in rows
    ]
    return Section(
        name="large-trees", title="Large trees", lead=LEAD, sentences=sentences,
        tables=[Table("By the number of znodes", _HEADER, [_cells(row) for row in rows])],
    )  # fmt: skip


_HEADER = ["znodes", "n", "bytes a znode, memory", "bytes a znode, snapshot", "start", "filled in", "writes/s",
           "p99 without a snapshot", "during the leader's", "during a follower's", "p99, × without",
           "a snapshot takes"]  # fmt: skip


def _cells(row: LargeTreeRow) -> list[str]:
    return [
        f"{row.znodes:,}", str(row.n), f"{row.heap_bytes:,.0f}", f"{row.snapshot_bytes:,.0f}",
        f"{row.start_ms:,.0f} ms",
        f"{row.filled_s:,.1f} s", f"{row.writes_per_s:,.0f}", f"{row.p99_without_ms:,.2f} ms",
        f"{row.p99_during_leaders_ms:,.2f} ms", f"{row.p99_during_followers_ms:,.2f} ms", f"{row.p99_ratio:.2f}",
        f"{row.seconds_a_snapshot:.1f} s",
    ]  # fmt: skip
