"""What is there once the faults are over and everybody is level."""

from dataclasses import dataclass

from lab.service.tree import Tree
from lab.sim.client import Operation
from lab.zab.config import PeerId
from lab.zab.messages import TxnBatch
from lab.zab.zxid import Zxid


@dataclass(frozen=True)
class Replica:
    """One server: what its disk really holds, and its tree."""

    base: Zxid
    log: list[TxnBatch]
    applied: Zxid
    tree: Tree


@dataclass(frozen=True)
class Rest:
    """The whole ensemble, and everything that clients did, in the order of sending within a session."""

    replicas: dict[PeerId, Replica]
    operations: list[Operation]
