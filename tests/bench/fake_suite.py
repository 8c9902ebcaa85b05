"""A suite whose measurements are made up: `python fake_suite.py SUITE [pyperf options]`."""

import os
import signal
import sys
from pathlib import Path

from bench_fakes import measured

from lab.bench.record import PyperfLink, Record, Settings
from lab.bench.suite import run_suite


def measure(settings: Settings, suite: str, link: PyperfLink, data_dir: Path | None) -> Record:
    if data_dir is not None:  # hang there, until somebody ends this: the test looks for the file
        (data_dir / f"hanging-{os.getpid()}").touch()
        signal.pause()
    return measured(settings, suite, link)


if __name__ == "__main__":
    suite = sys.argv.pop(1)
    run_suite(suite, measure, program_args=(__file__, suite))
