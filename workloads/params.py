"""Parameters from a preset or a TOML file, checked field by field; every mistake is one line (DESIGN 5)."""

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import msgspec
from msgspec import inspect

from workloads.registry import workload_named
from workloads.workload import WorkloadError

P = TypeVar("P", bound=msgspec.Struct)

_DEFAULT_WORKLOAD = "read_mix"
_OWN_FIELDS = ("workload", "about")  # of the file, not of the workload's parameters


def presets() -> dict[str, str]:
    """Name of each preset and its one-line description."""
    found = (entry for entry in files("workloads").joinpath("presets").iterdir() if entry.name.endswith(".toml"))
    parsed = {entry.name.removesuffix(".toml"): tomllib.loads(entry.read_text()) for entry in found}
    return {name: str(parsed[name].get("about", "")) for name in sorted(parsed)}


def load_workload(name_or_path: str) -> msgspec.Struct:
    """Parameters of the workload (by its bare name), the preset or the TOML file of that name.

    Raises WorkloadError in one line.
    """
    if name_or_path == _DEFAULT_WORKLOAD:
        return workload_named(name_or_path).params()
    where, text = _read(name_or_path)
    try:
        fields = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise WorkloadError(f"{where}: not TOML: {error}") from error
    workload = workload_named(str(fields.get("workload", _DEFAULT_WORKLOAD)), f"{where}: workload")
    given = {field: value for field, value in fields.items() if field not in _OWN_FIELDS}
    return refine(workload.params(), given, where, also_allowed=_OWN_FIELDS)


def refine(params: P, changes: Mapping[str, Any], where: str, also_allowed: tuple[str, ...] = ()) -> P:
    """`params` with some fields changed, each checked.  `where` names their origin in the one line of an error."""
    described = inspect.type_info(type(params))
    assert isinstance(described, inspect.StructType), described
    types = {field.name: field.type for field in described.fields}
    hints, checked = get_type_hints(type(params), include_extras=True), {}
    for name, value in changes.items():
        if name not in types:
            allowed = ", ".join((*also_allowed, *types))
            raise WorkloadError(f"{where}: {name}: unknown field, allowed: {allowed}")
        try:
            checked[name] = msgspec.convert(value, hints[name])
        except msgspec.ValidationError as error:
            raise WorkloadError(f"{where}: {name}: found {value!r}, allowed: {_allowed(types[name])}") from error
    return msgspec.structs.replace(params, **checked)


def _read(name_or_path: str) -> tuple[str, str]:
    """(how messages call it, text)."""
    if "/" in name_or_path or name_or_path.endswith(".toml"):
        try:
            return name_or_path, Path(name_or_path).read_text()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not text"
            raise WorkloadError(f"{name_or_path}: cannot be read: {reason}") from error
    known = presets()
    if name_or_path not in known:
        allowed = ", ".join((_DEFAULT_WORKLOAD, *known))
        raise WorkloadError(f"workload: found {name_or_path!r}, allowed: {allowed}, or the path of a .toml file")
    entry = files("workloads").joinpath("presets", f"{name_or_path}.toml")
    return f"presets/{name_or_path}.toml", entry.read_text()


def _allowed(kind: inspect.Type) -> str:
    match kind:
        case inspect.LiteralType(values=values):
            return " or ".join(repr(value) for value in values)
        case inspect.IntType() | inspect.FloatType():
            noun = "a whole number" if isinstance(kind, inspect.IntType) else "a number"
            bounds = (("from", kind.ge), ("above", kind.gt), ("to", kind.le), ("below", kind.lt))
            return " ".join((noun, *(f"{word} {bound}" for word, bound in bounds if bound is not None)))
        case _:
            return type(kind).__name__.removesuffix("Type").lower()
