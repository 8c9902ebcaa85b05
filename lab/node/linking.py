"""What a server process is linked with, as its configuration has it: frames in rings, or datagrams.

What datagrams take is imported only where links carry them: a server is to look for its leader as soon as it can.
"""

import socket

from lab.node.config import DeathDetection, NodeConfig, Silence
from lab.node.errors import NodeError
from lab.node.links import NodeLinks
from lab.transport.bell import Bell
from lab.transport.errors import SealError
from lab.transport.waiter import Waiter


def open_links(config: NodeConfig, bell: Bell, bound: socket.socket | None) -> tuple[Waiter, NodeLinks]:
    """Close the links first.  Takes over `bound`, the UDP socket if there is one; `bell` stays the caller's."""
    if bound is None and not config.shapes_links:
        waiter = Waiter(bell, config.wait)
        return waiter, NodeLinks(
            waiter,
            queue_bytes_max=config.link_queue_bytes_max,
            watch_peers=config.death_detection is DeathDetection.PIDFD,
        )
    return _open_datagram_links(config, bell, bound)


def _open_datagram_links(config: NodeConfig, bell: Bell, bound: socket.socket | None) -> tuple[Waiter, NodeLinks]:
    from lab.node.datagram_links import DatagramLinks, shaper_maker
    from lab.transport.port import Port
    from lab.transport.port_waiter import PortWaiter
    from lab.transport.seal import TAG_BYTES
    from lab.transport.window import WindowConfig

    silence = Silence.of(config.tick_ms, config.zab.sync_limit_ticks)
    peers, clients = (
        WindowConfig(
            mtu_bytes=config.udp_mtu_bytes,
            keepalive_ns=silence.keepalive_ns,
            dead_after_ns=dead_after_ns,
            queue_bytes_max=config.link_queue_bytes_max,
            tag_bytes=TAG_BYTES if config.udp_key else 0,
        )
        for dead_after_ns in (silence.peer_dead_after_ns, silence.client_dead_after_ns)
    )
    try:
        port = Port(bound, config.udp_key)
    except SealError as error:
        raise NodeError(str(error)) from error
    waiter = PortWaiter(bell, port, config.wait)
    return waiter, DatagramLinks(
        waiter,
        port,
        peers,
        clients,
        shaper_maker(config.seed, config.me),
        queue_bytes_max=config.link_queue_bytes_max,
        watch_peers=config.death_detection is DeathDetection.PIDFD,
    )
