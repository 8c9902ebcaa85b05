"""Speed of light: what the ways between two processes can do at most, before a server does anything with it."""

from lab.report.reading import Run
from lab.report.rows.light import (
    SEALED,
    WAYS,
    WINDOW,
    FloodRow,
    LightEffect,
    LightRow,
    flood_row,
    light_effects,
    light_rows,
)
from lab.report.section import Section
from lab.report.statistics import Estimate
from lab.report.style import duration, si
from lab.report.tables import Table
from lab.report.text import text_table
from lab.report.wording import percent, sentence

HEADER = ["way", "bytes a datagram", "MiB/s (95 %)", "CPU µs/MiB", "a byte there and back", "asleep", "rounds"]
LEAD = (
    "From one process to another on this host, on two cores where there are two; every byte was counted and the "
    "order of what arrived was checked. The bare loop is one sendto and one recvfrom a datagram, and nobody sends "
    "again what is lost; a run is up to 64 datagrams in one system call at each end where the kernel has that "
    "(UDP_SEGMENT, UDP_GRO). A reliable link adds order, repeats, acknowledgements and congestion control to it in "
    "Python; tags are 16 bytes of keyed BLAKE2b a datagram. CPU is that of both processes. A byte there and back is "
    "measured with both processes awake, looking again and again, and with both asleep until it comes, where most "
    "of the time is the kernel's to wake them."
)


def section(run: Run) -> Section | None:
    rows, strangers = light_rows(run), flood_row(run)
    if not rows and strangers is None:
        return None
    said = [*map(_against, light_effects(run)), *(_strangers(strangers) if strangers is not None else [])]
    tables = [Table("Speed of light", HEADER, [_cells(row) for row in rows])] if rows else []
    return Section(
        name="light", title="Speed of light", lead=LEAD if rows else "", sentences=said, tables=tables,
        printed=[line for table in tables for line in ("", table.title, *text_table(table, (0,)))],
    )  # fmt: skip


def _cells(row: LightRow) -> list[str]:
    bounds = "" if row.low is None or row.high is None else f" ({si(row.low)}–{si(row.high)})"
    return [
        WAYS[row.way], "–" if row.datagram_bytes is None else f"{row.datagram_bytes:,}",
        f"{si(row.mib_per_s)}{bounds}", f"{row.cpu_us_per_mib:,.0f}", _time(row.awake_us), _time(row.asleep_us),
        str(row.rounds),
    ]  # fmt: skip


def _time(us: float | None) -> str:
    return "–" if us is None else duration(us)


def _against(effect: LightEffect) -> str:
    """What reliability costs, or tags do."""
    what, base = _NAMES[effect.way]
    share = f"{percent(effect.throughput.value)}{_percents(effect.throughput)}"
    return sentence(
        f"in datagrams of {effect.datagram_bytes:,} bytes {what} brings {share} of what {base} brings, for "
        f"{effect.cpu.value:.2g} times{_times(effect.cpu)} its CPU a MiB, by round "
        f"(n = {effect.throughput.n}{', no interval' if effect.throughput.low is None else ''})"
    )


_NAMES = {WINDOW: ("a reliable link", "a bare loop"), SEALED: ("the same with tags", "one without")}


def _percents(found: Estimate) -> str:
    if found.low is None or found.high is None:
        return ""
    return f" ({percent(found.low).removesuffix(' %')} to {percent(found.high)})"


def _times(found: Estimate) -> str:
    return "" if found.low is None else f" ({found.low:.2g} to {found.high:.2g})"


def _strangers(row: FloodRow) -> list[str]:
    said = []
    if row.foreign_us is not None and row.forged_us is not None:
        said.append(
            f"A datagram of strangers costs a port {row.foreign_us:.2g} µs of CPU if it is for none of its links, and "
            f"{row.forged_us:.2g} µs if its tag is forged (1,400 bytes, read one by one)."
        )
    if row.datagrams is not None:
        said.append(
            f"Of a flood of {row.datagrams:,} datagrams at the leader's port ({si(row.sent_per_s)}/s) the leader read "
            f"{row.read:,.0f}, the kernel dropped the rest for it; {si(row.writes_per_s)} writes/s went on, "
            f"{si(row.writes_per_s_beside)}/s while as many went to a port that nobody reads. Nobody was elected, no "
            f"session ended, every write was verified (n = {row.rounds}). These were datagrams of strangers who know "
            "nothing; who hears the network can begin theirs as a link's own do. No filter drops those, and each costs "
            "what one with a forged tag does; a flood of them was not measured."
        )
    return said
