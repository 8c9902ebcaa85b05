"""Trees to new observers: what a SNAP over UDP takes, with and without lost datagrams, while writes go on."""

from lab.report.reading import Run
from lab.report.rows.far_snapshots import FarSnapshotRow, far_snapshot_rows
from lab.report.section import Section
from lab.report.tables import Table
from lab.report.wording import percent

LEAD = (
    "Three voters over UDP are filled with znodes of 10,000 bytes. Then an observer comes that holds nothing and gets "
    "the whole tree by SNAP, while writes go on at a steady rate (open loop, latency from the intended time); before "
    "it comes they have gone on for a warm-up and the second that is looked at. The time runs from the start of its "
    "process until it serves; at the end every write was found on every server, and the observer's digest is the "
    "others'."
)
HEADER = ["tree", "datagrams lost", "delay, each way", "n", "arrived in", "MiB/s", "sent again", "writes/s meanwhile",
          "p50 before", "p50 meanwhile", "p99 before", "p99 meanwhile"]  # fmt: skip


def section(run: Run) -> Section | None:
    rows = far_snapshot_rows(run)
    if not rows:
        return None
    return Section(
        name="far-snapshots", title="A tree to a new observer over UDP", lead=_lead(rows),
        sentences=[_sentence(row) for row in rows],
        tables=[Table("By the share of datagrams that is lost", HEADER, [_cells(row) for row in rows])],
    )  # fmt: skip


def _lead(rows: list[FarSnapshotRow]) -> str:
    said = list(dict.fromkeys(row.patience for row in rows if row.patience))
    limits = f" Servers wait for an observer that takes so much in: {'; '.join(said)}." if said else ""
    return LEAD + limits


def _sentence(row: FarSnapshotRow) -> str:
    lost = f"with {percent(row.loss)} of all datagrams lost" if row.loss else "without loss"
    return (
        f"{row.mib:g} MiB of znodes reached a new observer in {row.seconds:.1f} s {lost} and {row.delay_ms:g} ms each "
        f"way (n = {row.n}), while {row.writes_per_s:,.0f} writes/s went on at a p50 of {row.p50_meanwhile_ms:.1f} ms, "
        f"{row.p50_before_ms:.1f} ms before."
    )


def _cells(row: FarSnapshotRow) -> list[str]:
    return [
        f"{row.mib:g} MiB", percent(row.loss), f"{row.delay_ms:g} ms", str(row.n), f"{row.seconds:.2f} s",
        f"{row.mib_per_s:,.1f}", percent(row.sent_again), f"{row.writes_per_s:,.0f}", f"{row.p50_before_ms:.2f} ms",
        f"{row.p50_meanwhile_ms:.2f} ms", f"{row.p99_before_ms:.2f} ms", f"{row.p99_meanwhile_ms:.2f} ms",
    ]  # fmt: skip
