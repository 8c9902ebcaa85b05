"""The write suite: throughput with 256 writes outstanding, latency with one, by voters, observers and durability.

`python -m lab.bench.write_latency` measures the smoke set; pyperf's options and `--point ID` choose something else.
A pyperf value is the seconds of one write in closed loop; the latency populations are in the trial records.
"""

from lab.bench.suite import run_suite

if __name__ == "__main__":
    run_suite("write-latency")
