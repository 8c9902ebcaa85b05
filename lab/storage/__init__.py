"""The durable state of one server: transaction log, snapshots, epoch files, recovery (zab.md 7)."""
