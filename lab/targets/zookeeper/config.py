"""One server's configuration: the text of its zoo.cfg and its command line."""

import random
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec

from lab.targets.target import TargetError
from lab.targets.zookeeper import HOST
from lab.targets.zookeeper.install import Installation

MAIN = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
DURABILITIES = {"fsync": "yes", "buffered": "no"}  # forceSync
HEAP_MB = 512
NO_SNAPSHOTS = (1 << 31) - 1  # snapCount has no value for "never"
SESSION_TIMEOUT_MS_MAX = 60_000  # a load process that decodes its replies is silent for longer than 20 ticks
PORTS = range(15_000, 32_000)  # below those that the kernel gives to outgoing connections
PORT_TRIES = 1_000

LOGBACK = """<configuration>
  <appender name="log" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%d %-5level %logger{20} - %msg%n</pattern></encoder>
  </appender>
  <root level="WARN"><appender-ref ref="log"/></root>
</configuration>
"""  # releases log by logback, which without a configuration tells everything


class Ports(msgspec.Struct, frozen=True):
    client: int
    quorum: int
    election: int


class Ensemble(msgspec.Struct, frozen=True, kw_only=True):
    """Settings that all servers share."""

    voters: int
    ports: dict[int, Ports]  # of every server, observers included
    tick_ms: int
    sync_limit_ticks: int
    init_limit_ticks: int
    durability: str
    snap_count: int  # 0: none
    leader_serves: bool


def zoo_cfg(ensemble: Ensemble, server: int, data: Path) -> str:
    lines = [
        f"tickTime={ensemble.tick_ms}",
        f"initLimit={ensemble.init_limit_ticks}",
        f"syncLimit={ensemble.sync_limit_ticks}",
        f"dataDir={data}",
        f"clientPort={ensemble.ports[server].client}",
        f"clientPortAddress={HOST}",
        "maxClientCnxns=0",
        f"maxSessionTimeout={SESSION_TIMEOUT_MS_MAX}",
        "admin.enableServer=false",
        "4lw.commands.whitelist=srvr,mntr",
        f"leaderServes={'yes' if ensemble.leader_serves else 'no'}",
        "standaloneEnabled=false",  # one voter is an ensemble, too, and may have observers
        *(["peerType=observer"] if server > ensemble.voters else []),
    ]
    for number, ports in sorted(ensemble.ports.items()):
        kind = "participant" if number <= ensemble.voters else "observer"
        lines.append(f"server.{number}={HOST}:{ports.quorum}:{ports.election}:{kind}")
    return "\n".join(lines) + "\n"


def command(installed: Installation, ensemble: Ensemble, config: Path, scratch: Path) -> list[str]:
    """`scratch` holds what Java and its libraries read and write beside the data; it goes with the run."""
    return [
        installed.java, f"-Xmx{HEAP_MB}m",
        "-XX:-UsePerfData",  # a file in /tmp for each JVM, which SIGKILL would leave there
        f"-Djava.io.tmpdir={scratch}",
        f"-Dzookeeper.forceSync={DURABILITIES[ensemble.durability]}",
        f"-Dzookeeper.snapCount={ensemble.snap_count or NO_SNAPSHOTS}",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-Dorg.slf4j.simpleLogger.showDateTime=true",
        "-cp", ":".join((str(scratch), *installed.classpath)),
        MAIN, str(config),
    ]  # fmt: skip


def free_ports(servers: Sequence[int], rng: random.Random) -> dict[int, Ports]:
    """Three ports for each server that nobody listens at now.  TargetError if there are not as many."""
    found: list[int] = []
    with ExitStack() as held:  # all at once, so that they differ
        for _ in range(PORT_TRIES):
            if len(found) == 3 * len(servers):
                break
            probe = held.enter_context(socket.socket())
            port = rng.choice(PORTS)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            found.append(port)
    if len(found) < 3 * len(servers):
        raise TargetError(f"zookeeper: no {3 * len(servers)} free ports among {PORTS.start} to {PORTS.stop - 1}")
    return {server: Ports(*found[3 * i : 3 * i + 3]) for i, server in enumerate(servers)}
