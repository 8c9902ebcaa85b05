"""The speed suite: how fast writes, reads and failovers are, for the table of bars in the report.

`python -m lab.bench.speed` measures the smoke set; pyperf's options and `--point ID` choose something else.
A pyperf value is the seconds of one operation in closed loop or, where a fault is asked for, one outage.
"""

from lab.bench.suite import run_suite

if __name__ == "__main__":
    run_suite("speed")
