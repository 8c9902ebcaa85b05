"""What nodes will be once everything in flight is applied (zab.md 5.2; ZooKeeper: outstandingChanges)."""

from lab.service.tree import Tree

OVERLAY_PATHS_MAX = 100_000  # some 30 MB; at 150,000 writes/s on distinct paths it is reached every 0.7 s


class Pending:
    """One node as it will be (ZooKeeper: ChangeRecord); `creates` is the next sequence number under it."""

    __slots__ = ("children", "creates", "exists", "version")

    def __init__(self, exists: bool, version: int, children: int, creates: int) -> None:
        self.exists = exists
        self.version = version
        self.children = children
        self.creates = creates


class Overlay:
    """The applied tree, overlaid with the changes in flight.

    It keeps a path until nothing at all is in flight (`forget`).  Under a load that never pauses that moment must be
    made: once it `is_full` its owner proposes nothing more until it has come.
    """

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self.pending: dict[str, Pending] = {}
        self.versions: dict[str, int] = {}  # of nodes that nothing but writes of data is in flight to: not in `pending`

    def look(self, path: str) -> Pending:
        """The node as it will be; whoever changes what is returned changes what comes next."""
        pending = self.pending.get(path)
        if pending is None:
            pending = self.pending[path] = self._applied(path)
            self.versions.pop(path, None)
        return pending

    def copy(self, path: str) -> Pending:
        """The node as it will be, for the caller to change at will."""
        pending = self.pending.get(path)
        if pending is None:
            return self._applied(path)
        return Pending(pending.exists, pending.version, pending.children, pending.creates)

    def keep(self, changed: dict[str, Pending]) -> None:
        """These nodes will be so."""
        self.pending.update(changed)
        for path in changed:
            self.versions.pop(path, None)

    def _applied(self, path: str) -> Pending:
        node = self._tree.nodes.get(path)
        if node is None:
            return Pending(False, 0, 0, 0)
        version = self.versions.get(path, node.version)
        return Pending(True, version, len(node.children or ()), node.creates)

    def forget(self) -> None:
        """Nothing is in flight: the tree alone says what is."""
        self.pending.clear()
        self.versions.clear()

    @property
    def is_full(self) -> bool:
        return len(self.pending) + len(self.versions) >= OVERLAY_PATHS_MAX


class Draft:
    """A view of an overlay whose changes are the overlay's only once they are kept, all of them: a multi's."""

    def __init__(self, overlay: Overlay) -> None:
        self._overlay = overlay
        self._changed: dict[str, Pending] = {}

    def look(self, path: str) -> Pending:
        """The node as it will be if the draft is kept."""
        pending = self._changed.get(path)
        if pending is None:
            pending = self._changed[path] = self._overlay.copy(path)
        return pending

    def keep(self) -> None:
        self._overlay.keep(self._changed)
