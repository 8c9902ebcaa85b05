"""The read suite: reads and mixes through every server, each held to a share of a CPU, by voters and observers.

`python -m lab.bench.read_scaling` measures the smoke set; pyperf's options and `--point ID` choose something else.
A pyperf value is the seconds of one operation in closed loop over all servers together.
"""

from lab.bench.suite import run_suite

if __name__ == "__main__":
    run_suite("read-scaling")
