"""What it costs a port to read a datagram that it drops: one for none of its links, and one with a forged tag."""

import random
import time
from collections.abc import Iterator

from lab.bench.probe import Probe, Where
from lab.transport.association import Association
from lab.transport.carriers import UdpCarrier
from lab.transport.port import Port
from lab.transport.seal import TAG_BYTES, draw_key
from lab.transport.udp import UdpSocket, bind_udp
from lab.transport.window import WindowConfig

BYTES = 1_400
SAMPLES = 30
DATAGRAMS = 1_000  # behind one sample
LOOPBACK = "127.0.0.1"


def measure(where: Where, samples: int = SAMPLES) -> Iterator[Probe]:  # noqa: ARG001 (no files)
    own, stranger = UdpSocket(bind_udp(LOOPBACK)), UdpSocket(bind_udp(LOOPBACK))
    port = Port(own, draw_key())  # a socket of this kind has no guard before it: everything is read
    link = Association(1, 0, 1, WindowConfig(tag_bytes=TAG_BYTES), random.Random(0))
    port.add(link, UdpCarrier(port, stranger.address), None)
    try:
        for name, prefix in (("foreign", b"stranger"), ("forged", link.prefixes[0])):
            yield _dropped(name, prefix + bytes(BYTES - len(prefix)), port, stranger, own, samples)
    finally:
        port.close()
        stranger.close()


def _dropped(name: str, datagram: bytes, port: Port, stranger: UdpSocket, own: UdpSocket, samples: int) -> Probe:
    """CPU microseconds a datagram; what was sent and not counted as such is a finding."""
    before, found = port.counters[name], []
    for _ in range(samples):
        for _ in range(DATAGRAMS):
            stranger.send([datagram], own.address)
        began = time.process_time_ns()
        while port.has_input():
            port.receive()
        found.append((time.process_time_ns() - began) / 1e3 / DATAGRAMS)
    counted = port.counters[name] - before
    sent = samples * DATAGRAMS
    return Probe(
        name=f"light/{name}", unit="µs", samples=found, facts={"datagram_bytes": float(BYTES)},
        findings=[] if counted == sent else [f"of {sent} datagrams {counted} were counted as {name}"],
    )  # fmt: skip
