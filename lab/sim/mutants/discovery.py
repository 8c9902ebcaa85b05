"""Promises: epochs accepted, shown and kept."""

from lab.sim.mutants.planting import Patch, mutant
from lab.storage import epochs
from lab.storage.disk import Disk
from lab.storage.layout import CURRENT, INITIALIZE
from lab.storage.store import FileStore
from lab.zab.effects import PeerEffect, SaveAcceptedEpoch, Send
from lab.zab.events import Recovered
from lab.zab.learner import Learner
from lab.zab.messages import AckEpoch
from lab.zab.state import PeerState


@mutant("L1, INV-11")
def promise_not_persisted(patch: Patch) -> None:
    """ACKEPOCH is sent without acceptedEpoch on disk."""
    plain = Learner._on_leader_info

    def on_leader_info(self: Learner, epoch: int) -> list[PeerEffect]:
        return [effect for effect in plain(self, epoch) if not isinstance(effect, SaveAcceptedEpoch)]

    patch(Learner, "_on_leader_info", on_leader_info)


@mutant("Z-3, INV-11")
def epoch_file_not_synced(patch: Patch) -> None:
    """Epoch files are replaced without an fsync."""

    def replace_file(disk: Disk, folder: str, name: str, content: bytes) -> None:
        file = disk.create(f"{folder}/{name}.tmp")
        file.write_at(0, [content])
        file.close()
        disk.rename(f"{folder}/{name}.tmp", f"{folder}/{name}")

    patch(epochs, "replace_file", replace_file)


@mutant("INV-13, Z-12")
def promise_counted_twice(patch: Patch) -> None:
    """A server that accepted this very epoch before shows its current epoch, not -1."""
    plain = Learner._on_leader_info

    def on_leader_info(self: Learner, epoch: int) -> list[PeerEffect]:
        current, effects = self.state.current_epoch, list[PeerEffect]()
        for effect in plain(self, epoch):
            if isinstance(effect, Send) and isinstance(effect.message, AckEpoch):
                effect = Send(effect.to, AckEpoch(current, effect.message.last_zxid, effect.message.need_snap))
            effects.append(effect)
        return effects

    patch(Learner, "_on_leader_info", on_leader_info)


@mutant("Z-12, 6.3")
def wiped_server_votes(patch: Patch) -> None:
    """An unexpectedly empty data folder is taken for that of a new server."""
    plain = FileStore.recover

    def recover(self: FileStore) -> Recovered:
        disk, data_dir = self._disk, self._data_dir
        if disk.exists(data_dir) and not disk.exists(f"{data_dir}/{CURRENT}"):
            disk.create(f"{data_dir}/{INITIALIZE}")
        return plain(self)

    patch(FileStore, "recover", recover)


Z2 = """
ensemble 3
disk 1 accepted=2 current=1 log=1.1-1.2,2.1
start 1
"""


@mutant("Z-2, INV-11", scenario_name="Z-2", scenario=Z2)
def current_epoch_not_repaired(patch: Patch) -> None:
    """A server votes with a log that is ahead of its current epoch."""
    patch(PeerState, "repair_current_epoch", lambda self: [])  # noqa: ARG005
