"""Where something was measured: machine, versions, commit.  Records of different machines do not compare."""

import functools
import hashlib
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import msgspec
import psutil

import lab
from lab.bench.record import Machine

MEASURED_PATH = ("msgspec", "pyperf", "numpy", "orjson", "hdrhistogram")  # libraries that a measurement runs through
GIT_SECONDS_MAX = 5.0


def describe_machine(data_dir: Path) -> Machine:
    """This machine, with the file system that holds `data_dir` (or will: its nearest existing parent)."""
    facts = _facts(_existing(data_dir))
    return msgspec.structs.replace(facts, load_1m=round(os.getloadavg()[0], 2))


@functools.cache
def _facts(folder: Path) -> Machine:
    machine = Machine(
        id="",
        cpu=_cpu_model(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_gb=round(psutil.virtual_memory().total / 2**30, 1),
        kernel=f"{platform.system()} {platform.release()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        filesystem=describe_filesystem(folder),
        governor=_first_line(Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")) or "unknown",
        cgroup=_cgroup(),
        load_1m=0.0,
        versions={"lab": lab.__version__, **{name: _version(name) for name in MEASURED_PATH}},
    )
    return msgspec.structs.replace(machine, id=hashlib.blake2b(msgspec.json.encode(machine), digest_size=6).hexdigest())


def describe_filesystem(folder: Path) -> str:
    """Type, device and, where the kernel says, its kind: `ext4 on vda1 (ssd)`."""
    here, best = str(folder.resolve()), None
    for partition in psutil.disk_partitions(all=True):
        mount = partition.mountpoint.rstrip("/") + "/"
        if f"{here}/".startswith(mount) and (best is None or len(mount) >= len(best.mountpoint.rstrip("/")) + 1):
            best = partition
    if best is None:
        return "unknown"
    device = os.path.basename(best.device) or best.device
    return f"{best.fstype} on {device}{_device_kind(folder)}"


def _device_kind(folder: Path) -> str:
    """` (ssd)` or ` (disk)` by the block device behind the folder; nothing if there is none to ask."""
    number = os.stat(folder).st_dev
    block = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
    for queue in (block / "queue", block / ".." / "queue"):  # a partition's queue is its disk's
        rotational = _first_line(queue / "rotational")
        if rotational:
            return " (disk)" if rotational == "1" else " (ssd)"
    return ""


def describe_commit(folder: Path | None = None) -> tuple[str, bool]:
    """The commit this code was taken from and whether the code differs from it; ("unknown", False) if git fails."""
    package = folder or Path(lab.__file__).resolve().parent
    top = _git(package, "rev-parse", "--show-toplevel")
    if top is None or _bytes(Path(top) / "lab" / "__init__.py") != _bytes(package / "__init__.py"):
        return "unknown", False  # an installed copy inside somebody else's checkout proves nothing
    commit = _git(Path(top), "rev-parse", "HEAD")
    changes = _git(Path(top), "status", "--porcelain", "--", "lab", "workloads", "pyproject.toml")
    return (commit, bool(changes)) if commit is not None else ("unknown", False)


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=GIT_SECONDS_MAX,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _first_line(path: Path) -> str:
    try:
        return path.read_text().split("\n", 1)[0].strip()
    except OSError:
        return ""


def _existing(folder: Path) -> Path:
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return folder


def _cpu_model() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine() or "unknown"


def _cgroup() -> str:
    """Which cgroup version has a CPU controller here: v1, v2 or none."""
    if Path("/sys/fs/cgroup/cgroup.controllers").exists():
        return "v2" if "cpu" in _first_line(Path("/sys/fs/cgroup/cgroup.controllers")).split() else "none"
    return "v1" if any(Path("/sys/fs/cgroup", name).is_dir() for name in ("cpu", "cpu,cpuacct")) else "none"


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "none"


if sys.platform != "linux":  # pragma: no cover
    assert hasattr(os, "getloadavg"), "the lab runs on Unix"
