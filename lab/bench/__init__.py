"""Trials and the pyperf suites: election, write latency, read scaling (DESIGN 4)."""
