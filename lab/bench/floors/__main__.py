"""Measure floors; see `lab.bench.probe.run_job` for the options."""

from collections.abc import Callable, Iterator

from lab.bench.floors import codec, datagrams, disk, hop, ring, strangers, window
from lab.bench.probe import Probe, Where, run_job

FLOORS: dict[str, Callable[[Where], Iterator[Probe]]] = {
    "hop": hop.measure, "disk": disk.measure, "ring": ring.measure, "codec": codec.measure,
    "datagrams": datagrams.measure, "window": window.measure,
    "strangers": strangers.measure,
}  # fmt: skip


def measure(where: Where, wanted: list[str]) -> Iterator[Probe]:
    if unknown := [name for name in wanted if name not in FLOORS]:
        raise ValueError(f"{unknown[0]!r} is no floor, allowed: {', '.join(FLOORS)}")
    for name in wanted or FLOORS:
        yield from FLOORS[name](where)


if __name__ == "__main__":
    run_job(measure, "What the machine and the parts cost alone.")
