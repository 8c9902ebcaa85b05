"""Who imports whom: the complete table of direct imports among our packages, and what may not be there at all."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EVERYTHING = ("lab", "workloads")

# module or package -> what of ours it may import beside itself; the longest matching name counts
TABLE: dict[str, tuple[str, ...]] = {
    "lab.zab": (),
    "lab.faults": (),
    "lab.networks": ("lab.faults",),
    "lab.transport": ("lab.faults",),
    "lab.service": ("lab.zab",),
    "lab.storage": ("lab.zab",),
    "lab.client": ("lab.zab", "lab.service", "lab.transport", "lab.faults"),
    "lab.client.history": ("lab.zab",),
    "workloads": ("lab.client.history",),
    "lab.node": ("lab.zab", "lab.service", "lab.storage", "lab.transport", "lab.faults"),
    # with `--links window` it runs the links of a real process, down to its port, over a simulated socket
    "lab.sim": (
        "lab.zab",
        "lab.service",
        "lab.storage",
        "lab.transport",
        "lab.node.config",
        "lab.node.control",
        "lab.node.links",
        "lab.node.peer_link",
        "lab.node.datagram_links",
        "lab.faults",
        "workloads",
        "lab.client.history",
    ),
    # the supervisor speaks the control protocol, whose records live with the node; what it launches dies as a node does
    "lab.cluster": (
        "lab.node.config",
        "lab.node.control",
        "lab.node.lifeline",
        "lab.transport",
        "lab.faults",
        "lab.networks",
    ),
    "lab.targets": ("lab.client.history", "lab.faults"),
    "lab.targets.own": ("lab.client.history", "lab.faults", "lab.networks", "lab.client", "lab.cluster"),
    "lab.targets.own_sessions": ("lab.client",),
    # it measures the parts of a server one by one, so it has to hold them; nothing of ours imports it
    "lab.bench.micro": (
        "lab.zab",
        "lab.service",
        "lab.storage",
        "lab.transport",
        "lab.node.links",
        "lab.node.control",
        "lab.node.allocator",
    ),
    "lab.targets.zookeeper": ("lab.targets", "lab.client.history", "lab.faults"),
    # its servers are processes that end like ours, run folder, janitor and CPU budgets included
    "lab.targets.zookeeper.target": ("lab.targets", "lab.client.history", "lab.faults", "lab.cluster"),
    "lab.targets.zookeeper.servers": ("lab.targets", "lab.cluster"),
    "lab.bench": ("lab.targets", "workloads", "lab.faults", "lab.networks", "lab.client.history"),
    # floors measure the parts themselves
    "lab.bench.floors": ("lab.transport", "lab.service"),
    # experiments on several machines: agents behind Dask workers, and what is run by them
    "lab.hosts": ("lab.cluster", "lab.bench", "lab.targets", "lab.transport"),
    "lab.report": (
        "lab.bench.record",
        "lab.bench.record_long",
        "lab.bench.record_probe",
        "lab.networks",
        "workloads",
    ),
    "lab.cli": EVERYTHING,
    "lab.cli_options": ("lab.bench.record",),
    "lab.cli_long": ("lab.bench", "lab.report", "lab.cli_options"),
    "lab.cli_sim": ("lab.sim", "lab.bench"),
    "lab.cli_hosts": ("lab.hosts", "lab.cluster", "lab.bench"),
    "lab.__main__": EVERYTHING,
    "lab": (),
}

# a core that is a function of its inputs touches none of these; `random` only as the type of what it is given
SANS_IO = ("lab.zab", "lab.service")
NOT_SANS_IO = {
    "asyncio", "ctypes", "datetime", "fcntl", "io", "mmap", "multiprocessing", "os", "pathlib", "random", "secrets",
    "select", "selectors", "shutil", "signal", "socket", "subprocess", "sys", "tempfile", "threading", "time", "uuid",
}  # fmt: skip

# loaded by every server or load process these would cost more than its whole start
HEAVY = {"click", "dask", "distributed", "matplotlib", "numpy", "psutil", "pyperf", "rich", "scipy"}


def modules() -> dict[str, Path]:
    """Our modules by name."""
    found = {}
    for top in EVERYTHING:
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def imports_of(name: str, *, at_run_time: bool = False) -> Iterator[str]:
    """Full names that module `name` imports, wherever in it; `at_run_time` leaves out TYPE_CHECKING blocks."""
    tree = ast.parse(MODULES[name].read_text())
    skipped = set[ast.AST]()
    for node in ast.walk(tree):
        if at_run_time and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            skipped |= {inner for statement in node.body for inner in ast.walk(statement)}
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} line {node.lineno}: relative import"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in MODULES else str(node.module)


def row_of(name: str) -> str:
    return max((row for row in TABLE if within(name, row)), key=len)


@pytest.mark.parametrize("row", TABLE)
def test_imports_keep_to_the_table(row: str):
    allowed = (row, *TABLE[row])
    package = ".".join(row.split(".")[:2])  # a row for one module still may import its own package
    wrong = [
        f"{name} imports {imported}"
        for name in MODULES
        if row_of(name) == row
        for imported in imports_of(name)
        if imported.startswith("lab.") or within(imported, "workloads")
        if not any(within(imported, other) for other in (*allowed, package))
    ]
    assert wrong == []


@pytest.mark.parametrize("name", [name for name in MODULES if any(within(name, core) for core in SANS_IO)])
def test_core_touches_no_clock_file_socket_thread_or_chance(name: str):
    imported = {full.split(".")[0] for full in imports_of(name, at_run_time=True)}
    assert imported & NOT_SANS_IO == set()


def loaded_by(module: str) -> set[str]:
    """Top-level packages in memory after importing `module` in a fresh process."""
    program = f"import json, sys, {module}; print(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=ROOT)
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("module", ["lab.node.main", "lab.node.null", "lab.bench.load"])
def test_server_and_load_processes_start_light(module: str):
    assert loaded_by(module) & HEAVY == set()


def test_every_module_is_in_the_table():
    assert {name for name in MODULES if row_of(name) == "lab"} == {"lab"}
