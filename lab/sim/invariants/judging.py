"""What each write is to be told, by other code than the leader's: one request after the other (zab.md 8.1, 8.4)."""

from collections.abc import Iterable

from lab.service.paths import is_valid_path
from lab.service.requests import (
    Create,
    CreateMode,
    CreateOp,
    Delete,
    DeleteOp,
    ErrorCode,
    Multi,
    Op,
    SetData,
    SetDataOp,
    Write,
)
from lab.sim.invariants.fold import Fold, parent_of


def errors_of(fold: Fold, request: Write) -> list[int]:
    """An error per op, OK for all of a request that takes effect in this state."""
    attempt = _Attempt(fold)
    if not isinstance(request, Multi):
        return [attempt.error_of(request)]
    errors = list[int]()
    for op in request.ops:
        errors.append(attempt.error_of(op))
        if errors[-1] != ErrorCode.OK:
            return errors + [ErrorCode.RUNTIME_INCONSISTENCY] * (len(request.ops) - len(errors))
    return errors


class _Attempt:
    """A state and the ops of one request so far: versions of nodes (None: absent), and what their children left."""

    def __init__(self, fold: Fold) -> None:
        self._fold = fold
        self._versions: dict[str, int | None] = {}
        self._families: dict[str, tuple[int, int]] = {}  # children, creates

    def error_of(self, request: Create | Delete | SetData | Op) -> ErrorCode:
        path = request.path
        if isinstance(request, (Create, CreateOp)):
            return self._create(path, request.flags)
        if path == "/" and isinstance(request, (Delete, DeleteOp)):
            return ErrorCode.BAD_ARGUMENTS
        version = self._version(path)
        if version is None:
            return ErrorCode.NO_NODE
        if request.version not in (-1, version):
            return ErrorCode.BAD_VERSION
        if isinstance(request, (SetData, SetDataOp)):
            self._versions[path] = version + 1
        elif isinstance(request, (Delete, DeleteOp)):
            if self._family(path)[0]:
                return ErrorCode.NOT_EMPTY
            self._versions[path] = None
            self._count(parent_of(path), -1, 0)
        return ErrorCode.OK

    def _create(self, path: str, flags: int) -> ErrorCode:
        if flags not in tuple(CreateMode):
            return ErrorCode.UNIMPLEMENTED
        is_sequential, parent = flags == CreateMode.PERSISTENT_SEQUENTIAL, parent_of(path)
        if not is_valid_path(f"{path}0" if is_sequential else path):
            return ErrorCode.BAD_ARGUMENTS
        if self._version(parent) is None:
            return ErrorCode.NO_NODE
        if is_sequential:
            path = f"{path}{self._family(parent)[1]:010d}"
        if self._version(path) is not None:
            return ErrorCode.NODE_EXISTS
        self._versions[path], self._families[path] = 0, (0, 0)
        self._count(parent, 1, 1)
        return ErrorCode.OK

    def _version(self, path: str) -> int | None:
        if path in self._versions:
            return self._versions[path]
        node = self._fold.nodes.get(path)
        return None if node is None else node[1]

    def _family(self, path: str) -> tuple[int, int]:
        if path in self._families:
            return self._families[path]
        family = self._fold.families[path]
        return len(family.names), family.creates

    def _count(self, parent: str, children: int, creates: int) -> None:
        had, made = self._family(parent)
        self._families[parent] = had + children, made + creates


def show_errors(errors: Iterable[int]) -> str:
    return ", ".join(ErrorCode(error).name for error in errors)
