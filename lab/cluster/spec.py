"""What an ensemble of processes is to be: data, checked before anything is started."""

import msgspec

from lab.node.config import DeathDetection, Durability, NodeConfig, ZabConfig


class ClusterSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole ensemble's settings; the fields shared with NodeConfig mean the same."""

    zab: ZabConfig
    tick_ms: int = 100
    durability: Durability = Durability.FSYNC
    death_detection: DeathDetection = DeathDetection.PIDFD
    seed: int = 1
    data_dir: str | None = None  # the run's private folder goes in here; None: into /var/tmp
    log_segment_bytes: int = 64 << 20
    link_queue_bytes_max: int = 64 << 20
    cpus: dict[int, tuple[int, ...]] = {}  # per server; one that is missing runs where this process may run

    def node_config(self, server: int, incarnation: int, data_dir: str, *, initialize: bool) -> NodeConfig:
        """One server's settings for one start."""
        return NodeConfig(
            me=server,
            incarnation=incarnation,
            zab=self.zab,
            tick_ms=self.tick_ms,
            durability=self.durability,
            death_detection=self.death_detection,
            data_dir=data_dir,
            initialize=initialize,
            seed=self.seed,
            log_segment_bytes=self.log_segment_bytes,
            link_queue_bytes_max=self.link_queue_bytes_max,
            cpus=self.cpus.get(server, ()),
        )
