"""Which workloads there are: every module of `workloads.kinds` that defines WORKLOAD."""

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

import msgspec

import workloads.kinds
from workloads.workload import Workload, WorkloadError


@cache
def workloads_by_name() -> dict[str, Workload]:
    modules = sorted(module.name for module in iter_modules(workloads.kinds.__path__))
    found = (import_module(f"workloads.kinds.{name}").WORKLOAD for name in modules)
    return {workload.name: workload for workload in found}


def workload_named(name: str, where: str = "workload") -> Workload:
    """Raises WorkloadError naming `where` the name was found and the names there are."""
    known = workloads_by_name()
    if name not in known:
        raise WorkloadError(f"{where}: found {name!r}, allowed: {', '.join(known)}")
    return known[name]


def workload_of(params: msgspec.Struct) -> Workload:
    """The workload whose parameters these are."""
    return next(workload for workload in workloads_by_name().values() if type(params) is workload.params)
