"""What stands around a run's numbers: badges, machine, commands, method and threats to validity."""

import shlex
from collections.abc import Sequence
from datetime import datetime

import msgspec

from lab.bench.record import Machine, TrialRecord
from lab.report.points import is_distant
from lab.report.reading import Run, settings_of
from lab.report.statistics import BOOTSTRAP_FROM, MARGIN, MEDIAN_FROM
from lab.report.style import si


class Badge(msgspec.Struct, frozen=True):
    """`tone`: good, bad or plain."""

    text: str
    tone: str


def subtitle(run: Run) -> str:
    info = run.info
    when = datetime.fromisoformat(info.started_at).strftime("%Y-%m-%d %H:%M UTC")
    return f"profile {info.profile}, {when}, {len(run.trials):,} trials and {_failovers(run):,} failovers"


def _failovers(run: Run) -> int:
    return sum(len(record.outage_ms) for record in run.failovers)


def badges(run: Run) -> list[Badge]:
    """Correctness first: a number nobody checked is not shown at all."""
    kept, all_ = len(run.trials) + len(run.failovers), len(run.trials) + len(run.failovers) + len(run.excluded)
    checked = sum(t.checks.writes + t.checks.reads for t in run.trials) + sum(f.checks.writes for f in run.failovers)
    info, machine = run.info, run.info.machine
    found = [Badge(f"verified: {kept} of {all_} records, {checked:,} operations checked",
                   "good" if kept == all_ else "bad")]  # fmt: skip
    if info.failures:
        found.append(Badge(f"{len(info.failures)} measurements failed", "bad"))
    if not info.finished:
        found.append(Badge("interrupted", "bad"))
    limited = sum(trial.client_limited for trial in run.trials)
    if limited:
        found.append(Badge(f"load generator at its limit in {limited} trials", "bad"))
    if len(run.machines | {machine.id}) > 1:
        found.append(Badge("records of several machines", "bad"))
    found.append(Badge(f"{machine.cores} × {machine.cpu}", "plain"))
    found.append(Badge(f"commit {info.commit[:10]}{' with local changes' if info.dirty else ''}",
                       "bad" if info.dirty else "plain"))  # fmt: skip
    return found


def machine_facts(machine: Machine) -> list[tuple[str, str]]:
    return [
        ("CPU", machine.cpu), ("cores", str(machine.cores)), ("memory", f"{machine.memory_gb:.1f} GB"),
        ("kernel", machine.kernel), ("Python", machine.python), ("data on", machine.filesystem),
        ("CPU governor", machine.governor), ("cgroups", machine.cgroup),
        ("load at the start", f"{machine.load_1m:.2f}"), ("machine id", machine.id),
    ]  # fmt: skip


def commands(run: Run) -> list[str]:
    """What to type to measure the same again, to rebuild this page, and to compare."""
    argv, name = run.info.argv, run.path.resolve().name
    asked = argv[argv.index("bench") :] if "bench" in argv else ["bench", "--profile", run.info.profile]
    checkout = [f"git checkout {run.info.commit}"] if run.info.commit not in ("", "unknown") else []
    again = _without_run_name(asked)
    return [*checkout, shlex.join(["python", "-m", "lab", *again]), f"python -m lab report {shlex.quote(name)}",
            f"python -m lab compare {shlex.quote(name)} ANOTHER-RUN"]  # fmt: skip


def _without_run_name(argv: Sequence[str]) -> list[str]:
    """Less `--run NAME`, which would be refused the second time."""
    kept, skip = [], False
    for word in argv:
        if not skip and word != "--run" and not word.startswith("--run="):
            kept.append(word)
        skip = word == "--run"
    return kept


def method(run: Run) -> list[str]:
    """How the numbers came about, from this run's own settings."""
    rounds = ", ".join(f"{suite} {n}" for suite, n in sorted(run.info.rounds.items())) or "none finished"
    windows = sorted({trial.settings.seconds for trial in run.trials})
    window = f" Windows of {' or '.join(f'{s:g}' for s in windows)} s after a warm-up." if windows else ""
    return [
        f"Every server is an OS process; rounds (finished: {rounds}) run each configuration once, in an order drawn "
        f"from seed {run.info.seed}, so that drift hits all alike.{window}",
        "The unit of repetition, n, is the process: its values are averaged first. Intervals are 95 %: Student's t on "
        f"the logarithms below {BOOTSTRAP_FROM} processes, a studentised bootstrap from there; ratios within a run are "
        f"paired by round. Medians of outages have order-statistic intervals from {MEDIAN_FROM} failovers.",
        f"Better and worse mean that the interval excludes no difference, equivalent that it lies within "
        f"{100 * MARGIN:.0f} %, undecided neither.",
        "Closed loop: a fixed number of operations is outstanding, so a slow system is asked less; open loop: latency "
        "counts from the intended send time. Which one it was stands under every figure.",
        "After each trial every acknowledged write is looked for on every replica and every checked read is compared "
        "with the write that it must have seen; what fails is excluded and listed.",
        *_budget_method(run),
    ]


def _budget_method(run: Run) -> list[str]:
    budgeted = [trial for trial in run.trials if trial.settings.cpu_share and trial.budget != "none"]
    if not budgeted:
        return []
    busiest = max(map(_host_busy, budgeted))
    shares = " or ".join(f"{100 * share:g} %" for share in sorted({t.settings.cpu_share or 0 for t in budgeted}))
    room = "had room" if busiest < 0.9 else "had no room left, so these numbers show the host and not the budget"
    return [
        f"Read scaling ran with each server held to {shares} of one CPU ({budgeted[0].budget}); servers and clients "
        f"together used at most {busiest:.0%} of the host, which {room}. Latencies of these trials are not shown: they "
        "are the budget's.".replace("% of the", " % of the")
    ]


def _host_busy(trial: TrialRecord) -> float:
    return (sum(s.cpu_s for s in trial.servers) + trial.client_cpu_s) / (trial.seconds * trial.machine.cores)


def threats(run: Run) -> list[str]:
    """What could make these numbers wrong or mean less than they seem to."""
    info, machine = run.info, run.info.machine
    found = [
        f"One host: servers, clients and their kernel work share {machine.cores} cores; more servers mean less CPU for "
        "each. Costs of observers and voters hold for this sharing.",
        *_about_links(run),
        "Intervals cover what varied between processes of this run, not another day, kernel or machine; with many "
        "comparisons a few 95 % intervals miss.",
    ]
    if info.hosts:
        found[0] += (
            f" Spread over {len(info.hosts)} machines ({', '.join(info.hosts)}): every trial ran on one of them alone, "
            "every round of a suite too, and all rounds of a suite on machines that are alike."
        )
    if max(run.info.rounds.values(), default=1) == 1:
        found.append("One round: no interval can be given, differences may be noise.")
    unbudgeted = sum(trial.settings.cpu_share is not None and trial.budget == "none" for trial in run.trials)
    if unbudgeted:
        found.append(f"{unbudgeted} trials were to run with each server held to a share of a CPU, but no budget could "
                     "be set (`python -m lab doctor` says why): their servers competed for the cores.")  # fmt: skip
    if machine.load_1m > 0.5:
        found.append(f"The machine was not idle at the start: load {machine.load_1m:.2f}.")
    if machine.governor not in ("performance", "unknown"):
        found.append(f"The CPU governor was {machine.governor}: the clock may have followed the load.")
    if info.dirty:
        found.append("The working tree had local changes, so the commit does not say all about the code.")
    unknown = sum(t.unknown for t in run.trials) + sum(f.unknown for f in run.failovers)
    if unknown:
        found.append(f"{si(unknown)} operations ended unknown (their connection was lost); they count as not done.")
    return found


def _about_links(run: Run) -> list[str]:
    """What the links of this run have, and have not, of a network."""
    several = settings_of(run)
    near = {one.transport for one in several if not is_distant(one) and not one.hosts}
    kinds = [text for name, text in (("shm", "Shared-memory"), ("udp", "Loopback UDP"), ("tcp", "Loopback TCP"))
             if name in near]  # fmt: skip
    found = []
    if kinds or not several:
        which = " and ".join([*kinds[:1], *(kind[:1].lower() + kind[1:] for kind in kinds[1:])]) or "Shared-memory"
        found.append(f"{which} links have no network's delay, loss or bandwidth; latency and elections would differ "
                     "across machines.")  # fmt: skip
    if any(map(is_distant, several)):
        found.append(
            "Networks are the lab's own: whoever receives holds datagrams back, or drops them, as the preset says. "
            "Nobody else's traffic is in the way, and what the preset's sources leave out is missing."
        )
    return found
