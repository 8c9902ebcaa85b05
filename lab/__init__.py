"""A benchmark and performance lab for Zab, the atomic broadcast that keeps ZooKeeper's replicas identical."""

__version__ = "0.1.0"
