"""The table of bars: what the suite `speed` measured, against what the lab set out to reach."""

from lab.report.points import group_failovers, group_trials
from lab.report.reading import Run
from lab.report.section import Section
from lab.report.statistics import estimate, median_estimate
from lab.report.style import duration, si
from lab.report.tables import Table


def section(run: Run) -> Section | None:
    rows = [
        [point.trials[0].pyperf.benchmark, str(len(point.trials)), f"{si(estimate(ops).value)}/s"]
        for point in group_trials(run.trials)
        if point.suite == "speed" and point.trials[0].pyperf
        for ops in [point.sample(lambda trial: trial.ops_per_s)]
    ]
    rows += [
        [f"outage after a {point.settings.fault}", str(len(point.outages_ms)),
         duration(1_000 * median_estimate(point.outages_ms).value)]
        for point in group_failovers([one for one in run.failovers if one.suite == "speed"])
    ]  # fmt: skip
    if not rows:
        return None
    return Section(name="speed", title="Speed", tables=[Table("Measured", ["point", "n", "median"], rows)])
