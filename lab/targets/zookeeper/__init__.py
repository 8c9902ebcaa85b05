"""The real Apache ZooKeeper as a target: its servers as JVMs of ours, its wire protocol spoken by ourselves."""
