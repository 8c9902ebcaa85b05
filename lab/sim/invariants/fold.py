"""The committed transactions applied once more, by other code than the servers'."""

from dataclasses import dataclass, field
from zlib import crc32

from lab.service.transactions import CheckTxn, CreateTxn, DeleteTxn, MultiTxn, SetDataTxn, Txn
from lab.sim.errors import InvariantError
from lab.zab.zxid import Zxid, show

Node = tuple[bytes, int, Zxid]  # data, version, mzxid


@dataclass(slots=True)
class Family:
    """A parent's list of children."""

    creates: int = 0
    changed: Zxid = 0  # pzxid
    names: set[str] = field(default_factory=set)


class Fold:
    """Nodes by path."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {"/": (b"", 0, 0)}
        self.families = {"/": Family()}  # of every node

    def apply(self, zxid: Zxid, txn: Txn) -> None:
        """Raises InvariantError (INV-24) for a transaction that its leader could not have made of this state."""
        match txn:
            case CreateTxn(path=path, data=data):
                if path in self.nodes or parent_of(path) not in self.nodes:
                    raise InvariantError("INV-24", f"{show(zxid)} creates {path}, which exists or has no parent")
                self.nodes[path] = (data, 0, zxid)
                self.families[path] = Family(changed=zxid)
                parent = self.families[parent_of(path)]
                parent.creates += 1
                parent.changed = zxid
                parent.names.add(path.rpartition("/")[2])
            case SetDataTxn(path=path, data=data, version=version):
                if path not in self.nodes or version != self.nodes[path][1] + 1:
                    raise InvariantError("INV-24", f"{show(zxid)} is {txn} over {self.nodes.get(path)}")
                self.nodes[path] = (data, version, zxid)
            case DeleteTxn(path=path):
                if path not in self.nodes or self.families[path].names:
                    raise InvariantError("INV-24", f"{show(zxid)} deletes {path}, which does not exist or has children")
                del self.nodes[path], self.families[path]
                parent = self.families[parent_of(path)]
                parent.changed = zxid
                parent.names.discard(path.rpartition("/")[2])
            case CheckTxn(path=path, version=version):
                if path not in self.nodes or version not in (-1, self.nodes[path][1]):
                    raise InvariantError("INV-24", f"{show(zxid)} is {txn} of {self.nodes.get(path)}")
            case MultiTxn(txns=txns):
                for part in txns:
                    self.apply(zxid, part)

    def children(self, path: str) -> list[str]:
        return sorted(self.families[path].names)

    def digest(self) -> int:
        """A sum over path, data, version, mzxid of every node and path, creates, pzxid of every parent (`Tree`)."""
        total = 0
        for path, (data, version, mzxid) in self.nodes.items():
            total += hash((crc32(path.encode()), crc32(data), version, mzxid))
        for path, family in self.families.items():
            if family.creates:
                total += hash((crc32(path.encode()), family.creates, family.changed))
        return total & (1 << 64) - 1


def parent_of(path: str) -> str:
    return path.rpartition("/")[0] or "/"
