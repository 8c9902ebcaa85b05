"""Whether an ensemble serves, judged by what its servers reported last."""

from collections.abc import Mapping

from lab.node.control import Phase, ServerState, Transition


def leader_of(reports: Mapping[int, Transition | None]) -> int:
    """The server that leads and whose epoch all of these servers serve in (BROADCAST); 0 if there is none."""
    for server, report in reports.items():
        if report is not None and report.state is ServerState.LEADING:
            served = {(r.phase, r.leader, r.epoch) if r else None for r in reports.values()}
            if served == {(Phase.BROADCAST, server, report.epoch)}:
                return server
    return 0


def describe(reports: Mapping[int, Transition | None]) -> str:
    """For a message to people: who is where."""
    return ", ".join(
        f"server {server} {report.state.name} {report.phase.name}" if report else f"server {server} silent"
        for server, report in reports.items()
    )
