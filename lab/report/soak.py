"""The report of a soak: `reports/<run>/`, from the record in `results/<run>/` alone."""

from pathlib import Path

from lab.bench.record_long import SOAK_FILE, Growth, SoakRecord
from lab.report.figures.soak import draw
from lab.report.reading import read_json, typed
from lab.report.rows.soak import held_rows, pace_rows
from lab.report.saving import save_figure, save_rows
from lab.report.style import styled


def is_soak(folder: Path) -> bool:
    return (folder / SOAK_FILE).is_file()


def load_soak(folder: Path) -> SoakRecord:
    """Raises RecordError naming the file and the field."""
    path = folder / SOAK_FILE
    return typed(read_json(path.read_bytes(), str(path)), SoakRecord, str(path))


def build_soak_report(results_dir: Path, reports_dir: Path) -> list[Path]:
    """Write the page and the figure with the rows behind it; returns where to begin reading: the page, the figure."""
    record = load_soak(results_dir)
    folder = reports_dir / results_dir.resolve().name
    page = folder / "report.md"
    try:
        (folder / "figures").mkdir(parents=True, exist_ok=True)
        with styled():
            figure = draw(record)
        _, png = save_figure(figure, folder / "figures", "soak")
        save_rows(held_rows(record), folder / "figures", "soak")
        save_rows(pace_rows(record), folder / "figures", "soak-pace")
        save_rows(record.growth, folder / "figures", "soak-growth")
        page.write_text(_page(record, folder.name), encoding="utf-8")
    except OSError as error:
        error.filename = error.filename or str(folder)  # a failed write does not say where it failed
        raise
    return [page, png]


def _page(record: SoakRecord, name: str) -> str:
    settings = record.settings
    lost = "unknown" if record.lost is None else f"{record.lost:,}"
    rows = {
        "verdict": "verified" if record.verified else "NOT VERIFIED",
        "time under load": f"{record.seconds:,.0f} s" + (" (interrupted)" if record.interrupted else ""),
        "acknowledged writes": f"{record.acknowledged:,}",
        "of them lost": lost,
        "writes of unknown outcome": f"{record.unknown:,}",
        "replicas compared": f"{record.checks.replicas}",
        "changes of leader": f"{max(0, len(record.reigns) - 1)}",
    }
    findings = ["", "## What was wrong", "", *(f"- {finding}" for finding in record.checks.findings)]
    lines = [
        f"# Soak {name}", "", "![What every process held](figures/soak.png)", "",
        "| | |", "|---|---|", *(f"| {what} | {found} |" for what, found in rows.items()),
        *(findings if record.checks.findings else []),
        "", "## Growth per hour", "",
        f"Theil-Sen slopes of medians over equal stretches of time, after the first {record.settle_s:,.0f} s, with "
        "95 % intervals. *steady*: the interval ends below the bound. Clients and harness are shown to be told apart.",
        "", "| process | what | level | per hour | 95 % interval | bound | verdict |", "|---|---|---|---|---|---|---|",
        *(_growth_row(found) for found in record.growth), "",
        f"{settings.voters} voters + {settings.observers} observers, {settings.durability}, {settings.clients} clients "
        f"that send at most {settings.rate:,.0f} writes/s together, {settings.value_bytes}-byte values, "
        f"{settings.keys:,} keys, a snapshot every {settings.snap_count:,} writes, log segments of "
        f"{record.log_segment_bytes >> 20} MiB.",
        f"Commit {record.commit}{' with changes' if record.dirty else ''}; {record.machine.cpu}, "
        f"{record.machine.cores} cores, {record.machine.python}, {record.machine.filesystem}; {record.started_at}.",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _growth_row(found: Growth) -> str:
    level = "-" if found.level is None else f"{found.level:,.1f} {found.unit}"
    slope = "-" if found.per_hour is None else f"{found.per_hour:+,.2f}"
    interval = "-" if found.low is None or found.high is None else f"{found.low:+,.2f} to {found.high:+,.2f}"
    return f"| {found.process} | {found.what} | {level} | {slope} | {interval} | {found.bound:,.2f} | {found.verdict} |"
