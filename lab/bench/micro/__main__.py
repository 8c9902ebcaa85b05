"""`python -m lab.bench.micro`: what each part of a server costs in CPU, by pyperf.

A value is CPU seconds per operation.  Every part is measured in worker processes of its own, which are set up as
servers are: freed memory is kept, and nothing is collected.  `bench` runs a process of each part in every round and
hands in `--folder`.
"""

import argparse
import contextlib
import os
import sys
from pathlib import Path

import pyperf

from lab.bench.lifeline import die_with_parent, interruptible
from lab.bench.machine import describe_commit, describe_machine
from lab.bench.micro import codec, core, logs, rings, serving, trees, turns, windows, yardstick
from lab.bench.micro.filing import next_round
from lab.bench.micro.part import Part, Timed, WrongAnswerError
from lab.node.allocator import keep_freed_memory, stop_collecting

PARTS: tuple[Part, ...] = tuple(
    part for module in (turns, serving, core, codec, rings, windows, logs, trees, yardstick) for part in module.PARTS
)


def main() -> None:
    """Reads sys.argv."""
    runner = pyperf.Runner(
        processes=5, values=9, warmups=1, loops=1, program_args=("-m", "lab.bench.micro"), add_cmdline_args=_forward
    )
    runner.argparser.add_argument("--only", metavar="PREFIX", default="", help="the parts whose names begin so")
    runner.argparser.add_argument("--folder", metavar="RUN", type=Path, help="append to the results of this run")
    runner.argparser.add_argument("--round", metavar="N", type=int, help=argparse.SUPPRESS)
    runner.argparser.add_argument("--data-dir", metavar="DIR", type=Path, help=argparse.SUPPRESS)
    runner.argparser.add_argument("--machine", metavar="ID", help=argparse.SUPPRESS)
    runner.argparser.add_argument("--commit", metavar="ID", help=argparse.SUPPRESS)
    runner.argparser.add_argument("--parent", metavar="PID", type=int, help=argparse.SUPPRESS)
    args = runner.parse_args()
    if args.parent is not None:
        die_with_parent(args.parent)
    parts = [part for part in PARTS if part.name.startswith(args.only)]
    if not parts:
        _end(2, f"--only: no part begins with {args.only!r}; there are {', '.join(part.name for part in PARTS)}")
    if args.worker:
        keep_freed_memory()
        stop_collecting()
    else:
        commit, dirty = describe_commit()
        args.commit = commit[:10] + (" with local changes" if dirty else "")
        args.machine = describe_machine(args.data_dir or Path("/var/tmp")).id
    try:
        with interruptible(), contextlib.nullcontext() if args.folder is None else next_round(args.folder) as file:
            args.append = args.append if file is None else str(file)
            for part in parts:
                _bench(runner, part, args)
    except WrongAnswerError as error:
        _end(1, str(error))
    if args.folder is not None:
        sys.stdout.write(f"parts measured: {len(parts)}\n")


def _bench(runner: pyperf.Runner, part: Part, args: argparse.Namespace) -> None:
    said = {"lab_what": part.what, "lab_per": part.per, "lab_machine": args.machine, "lab_commit": args.commit}
    try:
        runner.bench_time_func(part.name, Timed(part), inner_loops=part.rounds * part.operations, metadata=said)
    except RuntimeError:
        if args.worker:
            raise
        sys.exit(1)  # pyperf's manager: a worker failed, and has said why


def _forward(command: list[str], args: argparse.Namespace) -> None:
    """pyperf's hook: append to the worker's command line what the manager was given, or found."""
    command += ["--only", args.only, "--machine", args.machine, "--commit", args.commit, "--parent", str(os.getpid())]


def _end(status: int, reason: str) -> None:
    sys.stderr.write(f"lab: micro: {reason}\n")
    sys.exit(status)


if __name__ == "__main__":
    main()
