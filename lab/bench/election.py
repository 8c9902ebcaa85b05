"""The election suite: how long clients are without a leader after a crash, a freeze or a partition.

`python -m lab.bench.election` measures the smoke set; pyperf's options and `--point ID` choose something else.
A pyperf value is one failover: from the fault to the first acknowledged write of the new epoch.
"""

from lab.bench.suite import run_suite

if __name__ == "__main__":
    run_suite("election")
