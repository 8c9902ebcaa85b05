"""CPUs and budgets: which CPUs servers run on, and a fraction of one CPU for each (DESIGN 4).

Budgets are control groups of the kernel's `cpu` controller, version 1 or 2.  Where the machine does not permit them
there is no budget, and the caller is told why: reads then scale only as far as the machine has CPUs.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

PERIOD_US = 10_000  # short, so that a server is held back often and briefly
QUOTA_US_MIN = 1_000  # the kernel's least quota; smaller shares get a longer period
SHARE_MIN, SHARE_MAX = 0.001, 64.0  # the kernel's longest period is 1 s
NO_PERMISSION = "no permission for cgroups: budgets are off"


def available_cpus() -> tuple[int, ...]:
    return tuple(sorted(os.sched_getaffinity(0)))


def all_on(servers: Iterable[int], cpus: Sequence[int]) -> dict[int, tuple[int, ...]]:
    """Every server may run on every one of these CPUs; none given: wherever this process may run."""
    return {server: tuple(cpus) for server in servers} if cpus else {}


def quota_and_period(share: float) -> tuple[int, int]:
    """Microseconds of CPU in every so many microseconds.  Raises ValueError if the kernel cannot do that."""
    if not SHARE_MIN <= share <= SHARE_MAX:
        raise ValueError(f"cpu_share={share}: allowed is {SHARE_MIN} to {SHARE_MAX:g} of one CPU")
    period = max(PERIOD_US, round(QUOTA_US_MIN / share))
    return max(QUOTA_US_MIN, round(share * period)), period


class Hierarchy(msgspec.Struct, frozen=True):
    """Where groups of the cpu controller can be made: the first of `parents` that permits it."""

    version: int
    parents: tuple[Path, ...]

    @property
    def mechanism(self) -> str:
        return f"cgroup-v{self.version}"


def find_hierarchy(mounts: str | None = None, own: str | None = None) -> Hierarchy | None:
    """The mounted cpu controller, with our own group first; None where there is none.

    `mounts` and `own` are the texts of /proc/self/mounts and /proc/self/cgroup.
    """
    try:
        mounts = Path("/proc/self/mounts").read_text() if mounts is None else mounts
        own = Path("/proc/self/cgroup").read_text() if own is None else own
    except OSError:
        return None
    unified = None
    for line in mounts.splitlines():
        _, point, kind, options, *_ = line.split(" ")
        if kind == "cgroup" and "cpu" in options.split(","):
            return Hierarchy(1, _existing(Path(point), _own_path(own, "cpu")))
        if kind == "cgroup2" and unified is None:
            unified = Path(point)
    if unified is None:
        return None
    inside = _own_path(own, "")
    # A group with processes in it cannot hand its controllers down, so the one around it is the second choice.
    return Hierarchy(2, _existing(unified, inside, os.path.dirname(inside)))


def _own_path(own: str, controller: str) -> str:
    for line in own.splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return path
    return "/"


def _existing(mount: Path, *inside: str) -> tuple[Path, ...]:
    """In a container our path may be the host's and not exist here; the mount itself always does."""
    paths = [mount / path.lstrip("/") for path in inside]
    return tuple(dict.fromkeys(path for path in (*paths, mount) if path.is_dir()))


class CpuBudgets:
    """One control group for each server, inside one for the run; removed by whoever `owns` tells."""

    def __init__(self, name: str, owns: Callable[[str], None], hierarchy: Hierarchy | None) -> None:
        """`owns` is told every group before it is made; nothing is made before the first `limit`."""
        self._name = name
        self._owns = owns
        self._hierarchy = hierarchy
        self._run: Path | None = None
        self._groups: dict[int, Path] = {}
        self.refused = "" if hierarchy else "no cpu controller is mounted: budgets are off"

    def limit(self, pids: dict[int, int], share: float) -> str:
        """Give each of these servers (id -> pid) that share of one CPU; returns the mechanism.

        Returns "none" if that is not permitted, with the reason in `refused`.  Raises ValueError if no machine could.
        """
        quota, period = quota_and_period(share)
        if self._hierarchy is None or not self._make_run_group(self._hierarchy):
            return "none"
        try:
            for server, pid in pids.items():
                self._set(self._group(server), quota, period)
                self.add(server, pid)
        except OSError as error:
            with suppress(OSError):  # the reason is known; what could be set is undone
                self.lift()
            self.refused = f"{NO_PERMISSION} ({error.filename}: {error.strerror})"
            return "none"
        return self._hierarchy.mechanism

    def try_out(self) -> str:
        """The mechanism that `limit` would use, tried out on a group without processes."""
        return self.limit({0: 0}, 0.5)

    def lift(self) -> None:
        """Nobody is held back any more; the groups and their statistics stay."""
        for group in self._groups.values():
            self._set(group, -1, PERIOD_US)

    def add(self, server: int, pid: int) -> None:
        """A new incarnation of a server that has a group joins it; another server is not touched."""
        if (group := self._groups.get(server)) is not None and pid:  # writing 0 would move ourselves
            with suppress(ProcessLookupError):  # it has just ended, which is not this object's business
                _write(group / "cgroup.procs", str(pid))

    def throttled_s(self) -> dict[int, float]:
        """For how long each server was held back so far."""
        return {server: _throttled_s((group / "cpu.stat").read_text()) for server, group in self._groups.items()}

    def _make_run_group(self, hierarchy: Hierarchy) -> bool:
        if self._run is not None:
            return True
        for parent in hierarchy.parents:
            try:
                if hierarchy.version == 2:
                    _hand_down(parent)
                self._make(parent / self._name)
                if hierarchy.version == 2:
                    _hand_down(parent / self._name)
            except OSError as error:
                self.refused = f"{NO_PERMISSION} ({error.filename}: {error.strerror})"
                continue
            self._run, self.refused = parent / self._name, ""
            return True
        return False

    def _group(self, server: int) -> Path:
        assert self._run is not None
        if server not in self._groups:
            group = self._run / f"server-{server}"
            self._make(group)
            self._groups[server] = group
        return self._groups[server]

    def _make(self, group: Path) -> None:
        self._owns(str(group))
        group.mkdir(exist_ok=True)

    def _set(self, group: Path, quota_us: int, period_us: int) -> None:
        assert self._hierarchy is not None
        if self._hierarchy.version == 2:
            _write(group / "cpu.max", f"{quota_us if quota_us > 0 else 'max'} {period_us}")
            return
        _write(group / "cpu.cfs_quota_us", "-1")  # so that no mixture of old and new is out of the kernel's bounds
        _write(group / "cpu.cfs_period_us", str(period_us))
        _write(group / "cpu.cfs_quota_us", str(quota_us))


def _hand_down(group: Path) -> None:
    """Version 2: groups inside `group` have the cpu controller."""
    control = group / "cgroup.subtree_control"
    if "cpu" not in control.read_text().split():
        _write(control, "+cpu")


def _throttled_s(stat: str) -> float:
    """From a cpu.stat: nanoseconds as `throttled_time` in version 1, microseconds as `throttled_usec` in version 2."""
    fields = dict(line.split() for line in stat.splitlines())
    if "throttled_time" in fields:
        return int(fields["throttled_time"]) / 1e9
    return int(fields.get("throttled_usec", 0)) / 1e6


def _write(path: Path, text: str) -> None:
    """One write call, as the kernel's files want it."""
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, text.encode())
    except OSError as error:
        error.filename = str(path)  # a failed write does not say where
        raise
    finally:
        os.close(fd)
