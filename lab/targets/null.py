"""A target without replication: one server that answers every request at once, behind the same links and clients.

What it takes is what the load process, the links and the codec cost alone: a floor for everything that replicates.
"""

from lab.targets.own import OwnTarget


class NullTarget(OwnTarget):
    """One server, which leads; nothing is written to a disk."""

    name = "null"
    server_command = ("-m", "lab.node.null")
