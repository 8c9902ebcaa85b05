"""What an ensemble of processes is to be: data, checked before anything is started."""

from collections.abc import Mapping
from typing import Any

import msgspec

from lab.faults import Shape
from lab.networks import Network
from lab.node.config import (
    ConfigError,
    DeathDetection,
    Durability,
    NodeConfig,
    SnapRetainCount,
    Transport,
    UdpMtuBytes,
    Wait,
    ZabConfig,
)

Place = tuple[str, int]  # a process: "server" or "client", and its number


class ClusterSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole ensemble's settings; the fields shared with NodeConfig mean the same."""

    zab: ZabConfig
    tick_ms: int = 100
    durability: Durability = Durability.FSYNC
    death_detection: DeathDetection = DeathDetection.PIDFD
    transport: Transport = Transport.SHM
    sealed: bool = False  # every datagram of the transport udp carries a tag, by a key drawn for the run
    udp_mtu_bytes: UdpMtuBytes = 1400
    wait: Wait = Wait.ADAPTIVE
    seed: int = 1
    data_dir: str | None = None  # the run's private folder goes in here; None: into /var/tmp
    snap_retain_count: SnapRetainCount = 3
    log_segment_bytes: int = 64 << 20
    link_queue_bytes_max: int = 64 << 20
    marks_max: int = 0
    marks_every: int = 1
    cpus: dict[int, tuple[int, ...]] = {}  # per server; one that is missing runs where this process may run
    network: Network | None = None  # what links do to datagrams; None: nothing

    def site_of(self, process: Place) -> str:
        """Where in the network a server or client stands; empty without a network."""
        if self.network is None:
            return ""
        kind, number = process
        if kind == "client":
            return self.network.site_of("client", number)
        role, ids = ("voter", self.zab.voters) if number in self.zab.voters else ("observer", self.zab.observers)
        return self.network.site_of(role, sorted(ids).index(number))

    def shape(self, source: Place, target: Place) -> Shape | None:
        """What the link from `source` to `target` does to datagrams; None: nothing, and nobody need look."""
        if self.network is None:
            return None
        shape = self.network.shape(self.site_of(source), self.site_of(target))
        return None if shape.does_nothing else shape

    @property
    def carries_datagrams(self) -> bool:
        """Whether links carry datagrams: then they can be shaped, and a silence ends their sessions."""
        return self.network is not None or self.transport is Transport.UDP

    def node_config(
        self, server: int, incarnation: int, data_dir: str, *, initialize: bool, udp_key: bytes = b""
    ) -> NodeConfig:
        """One server's settings for one start."""
        return NodeConfig(
            me=server,
            incarnation=incarnation,
            zab=self.zab,
            tick_ms=self.tick_ms,
            durability=self.durability,
            death_detection=self.death_detection,
            transport=self.transport,
            shapes_links=self.network is not None,
            udp_key=udp_key,
            udp_mtu_bytes=self.udp_mtu_bytes,
            wait=self.wait,
            data_dir=data_dir,
            initialize=initialize,
            seed=self.seed,
            snap_retain_count=self.snap_retain_count,
            log_segment_bytes=self.log_segment_bytes,
            link_queue_bytes_max=self.link_queue_bytes_max,
            marks_max=self.marks_max,
            marks_every=self.marks_every,
            cpus=self.cpus.get(server, ()),
        )


def spec_of(*, voters: int, observers: int, limits: Mapping[str, Any], **settings: Any) -> ClusterSpec:
    """From plain values: voters get ids 1..V, observers V+1..V+O; `limits` are of ZabConfig, `settings` of the spec.

    Raises ConfigError naming the field.
    """
    for field, count in (("voters", voters), ("observers", observers)):
        if count < 0:
            raise ConfigError(f"{field}={count}: must be at least 0")
    ids = range(1, voters + observers + 1)
    members = {"voters": list(ids[:voters]), "observers": list(ids[voters:])}
    try:
        return msgspec.convert({"zab": {**members, **limits}, **settings}, ClusterSpec)
    except msgspec.ValidationError as error:
        raise ConfigError(str(error)) from error
