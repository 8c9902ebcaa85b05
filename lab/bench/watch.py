"""Where the servers of an ensemble are, by what they reported last; nobody is asked anything."""

from collections.abc import Collection, Sequence

from lab.bench.record import Settings
from lab.bench.record_long import Reign
from lab.targets.target import PhaseMark


class Watch:
    """Where the servers are, by what they reported last."""

    def __init__(self, settings: Settings) -> None:
        servers = range(1, settings.voters + settings.observers + 1)
        self.voters, self.observers = tuple(servers[: settings.voters]), tuple(servers[settings.voters :])
        self._last: dict[int, PhaseMark] = {}
        self._established: list[PhaseMark] = []

    def take(self, marks: Sequence[PhaseMark]) -> None:
        for mark in sorted(marks, key=lambda mark: mark.at_ns):
            if mark.what == "entered":
                self._last[mark.server] = mark
                if (mark.state, mark.phase) == ("leading", "broadcast"):
                    self._established.append(mark)

    def forget(self, server: int) -> None:
        """It is another process from now on."""
        self._last.pop(server, None)

    def leader(self, without: Collection[int]) -> int | None:
        """Who leads the newest epoch, as far as known."""
        leading = [
            mark for server, mark in self._last.items()
            if server not in without and (mark.state, mark.phase) == ("leading", "broadcast")
        ]  # fmt: skip
        return max(leading, key=lambda mark: mark.epoch).server if leading else None

    def all_serve(self) -> bool:
        """Everybody is in BROADCAST, in one epoch of one leader, which says so itself."""
        leader, marks = self.leader(()), self._last.values()
        where = {(mark.phase, mark.leader, mark.epoch) for mark in marks}
        everybody = len(self._last) == len(self.voters) + len(self.observers)
        return everybody and len(where) == 1 and next(iter(where))[:2] == ("broadcast", leader)

    def describe(self) -> str:
        servers = (*self.voters, *self.observers)
        return ", ".join(f"server {server} {self._place(server)}" for server in servers)

    def reigns(self, start_ns: int) -> list[Reign]:
        """Who was established as leader when; the one before the load began at 0."""
        return [Reign(max(0.0, (mark.at_ns - start_ns) / 1e9), mark.server, mark.epoch) for mark in self._established]

    def _place(self, server: int) -> str:
        mark = self._last.get(server)
        return f"{mark.state} {mark.phase} of {mark.leader} in epoch {mark.epoch}" if mark else "silent"
