"""The report of a torture: `reports/<run>/`, from the record in `results/<run>/` alone."""

from pathlib import Path

from lab.bench.record_long import TORTURE_FILE, TortureRecord
from lab.report.figures.torture import draw
from lab.report.reading import read_json, typed
from lab.report.rows.torture import fault_rows, throughput_rows
from lab.report.saving import save_figure, save_rows
from lab.report.style import styled


def is_torture(folder: Path) -> bool:
    return (folder / TORTURE_FILE).is_file()


def load_torture(folder: Path) -> TortureRecord:
    """Raises RecordError naming the file and the field."""
    path = folder / TORTURE_FILE
    return typed(read_json(path.read_bytes(), str(path)), TortureRecord, str(path))


def build_torture_report(results_dir: Path, reports_dir: Path) -> list[Path]:
    """Write the page and the figure with the rows behind it; returns where to begin reading: the page, the figure."""
    record = load_torture(results_dir)
    folder = reports_dir / results_dir.resolve().name
    page = folder / "report.md"
    try:
        (folder / "figures").mkdir(parents=True, exist_ok=True)
        with styled():
            figure = draw(record)
        _, png = save_figure(figure, folder / "figures", "torture")
        save_rows(throughput_rows(record), folder / "figures", "torture")
        save_rows(fault_rows(record), folder / "figures", "torture-faults")
        page.write_text(_page(record, folder.name), encoding="utf-8")
    except OSError as error:
        error.filename = error.filename or str(folder)  # a failed write does not say where it failed
        raise
    return [page, png]


def _page(record: TortureRecord, name: str) -> str:
    settings, checks = record.settings, record.checks
    verdict = "verified" if record.verified else "NOT VERIFIED"
    lost = "unknown" if record.lost is None else f"{record.lost:,}"
    rows = {
        "verdict": verdict,
        "acknowledged writes": f"{record.acknowledged:,}",
        "of them lost": lost,
        "writes of unknown outcome": f"{record.unknown:,}",
        "reads": f"{record.reads:,}, of which {checks.reads:,} were checked",
        "replicas compared": f"{checks.replicas}",
        "leaders crashed": f"{record.leader_crashes}",
        "changes of leader": f"{max(0, len(record.reigns) - 1)}",
        "longest time without an acknowledged write": f"{record.silence_s:.2f} s",
        "servers that ended of a full disk": f"{record.out_of_room} ({record.disk_full_by or 'no disk can be filled'})",
        "clients, the killed ones included": f"{record.clients}",
        "time under load": f"{record.seconds:.1f} s",
    }
    faults = [f"| {kind} | {count} |" for kind, count in sorted(record.faults.items(), key=lambda item: -item[1])]
    findings = (
        ["", "## What was wrong", "", *(f"- {finding}" for finding in checks.findings)] if checks.findings else []
    )
    again = (
        f"python -m lab torture --seed {settings.seed} --seconds {settings.seconds:g} --voters {settings.voters} "
        f"--observers {settings.observers} --durability {settings.durability} --clients {settings.clients} "
        f"--outstanding {settings.outstanding} --reads {settings.reads:g} --value-bytes {settings.value_bytes} "
        f"--keys {settings.keys} --snap-count {settings.snap_count}"
        + ("" if settings.rate is None else f" --rate {settings.rate:g}")
    )
    lines = [
        f"# Torture {name}", "", "![Throughput under torture](figures/torture.png)", "",
        "| | |", "|---|---|", *(f"| {what} | {found} |" for what, found in rows.items()), *findings,
        "", "## Faults", "", "| kind | times |", "|---|---|", *faults,
        "", "## The same plan again", "", f"    {again}", "",
        "The plan is the seed's; which server leads when a fault is due is not, so two runs differ.",
        f"Commit {record.commit}{' with changes' if record.dirty else ''}; {record.machine.cpu}, "
        f"{record.machine.cores} cores, {record.machine.python}, {record.machine.filesystem}; {record.started_at}.",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"
