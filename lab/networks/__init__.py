"""Networks: which sites there are, what each link between them does to datagrams, and who stands where.

The presets are TOML files with their sources; a file of one's own says the same.  Data only: links are shaped by
`lab.transport.shaping`.
"""

from lab.networks.layout import Layout
from lab.networks.network import ROLES, Network, NetworkError
from lab.networks.reading import NONE, load_network, network_of, presets, uniform
from lab.networks.text import network_lines

__all__ = [
    "NONE",
    "ROLES",
    "Layout",
    "Network",
    "NetworkError",
    "load_network",
    "network_lines",
    "network_of",
    "presets",
    "uniform",
]
