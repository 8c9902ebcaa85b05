"""The real Apache ZooKeeper as a target: its servers as JVMs of ours, its wire protocol spoken by ourselves."""

HOST = "127.0.0.1"  # its servers listen there and nowhere else
