"""The network suite: what transports, loss and distance do to writes, reads and failovers.

`python -m lab.bench.network` measures the smoke set; pyperf's options and `--point ID` choose something else.
A pyperf value is the seconds of one operation in closed loop or, where a fault is asked for, one outage.
"""

from lab.bench.suite import run_suite

if __name__ == "__main__":
    run_suite("network")
