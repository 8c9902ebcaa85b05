"""A network in lines for people."""

from lab.faults import Shape
from lab.networks.network import Network

ROUND_TRIP = "round trip, ms"


def network_lines(network: Network) -> list[str]:
    """What it is, the typical round trips between its sites, what else its links do, and where it is all from."""
    lines = [f"{network.name}: {network.about}" if network.about else network.name]
    width = max(len(ROUND_TRIP), *map(len, network.sites))
    columns = [max(len(site), 6) for site in network.sites]
    head = "  ".join(f"{site:>{size}}" for site, size in zip(network.sites, columns, strict=True))
    lines.append(f"  {ROUND_TRIP:{width}}  {head}")
    for one in network.sites:
        trips = (f"{network.rtt_ms(one, other):{size}.3g}" for other, size in zip(network.sites, columns, strict=True))
        lines.append(f"  {one:{width}}  {'  '.join(trips)}")
    shapes = [network.shape(one, other) for one in network.sites for other in network.sites]
    lines.append(f"  loss {_range([100 * shape.loss for shape in shapes])} %, {_bandwidth(shapes)}")
    lines.append(
        f"  voters at {', '.join(network.voters)}; observers at {', '.join(network.observers)}; "
        f"clients at {', '.join(network.clients)}"
    )
    if network.tick_ms is not None:
        lines.append(f"  tick {network.tick_ms} ms, unless typed")
    return [*lines, *(f"  {source}" for source in network.sources)]


def _bandwidth(shapes: list[Shape]) -> str:
    limits = [shape.bytes_per_s for shape in shapes if shape.bytes_per_s is not None]
    text = f"{_range([limit * 8 / 1e9 for limit in limits])} Gbit/s a link" if limits else ""
    return text if len(limits) == len(shapes) else f"{text} or unlimited" if text else "bandwidth unlimited"


def _range(values: list[float]) -> str:
    least, most = min(values), max(values)
    return f"{least:.4g}" if least == most else f"{least:.4g} to {most:.4g}"
