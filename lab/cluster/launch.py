"""`python -m lab.cluster.launch PARENT PROGRAM ...`: becomes a program that dies with PARENT (DESIGN 3, layer 1).

A program that is not ours cannot ask the kernel for the death signal itself; what was asked for outlives `exec`.
"""

import os
import sys

from lab.node.lifeline import die_with_parent


def main(parent: int, program: list[str]) -> int:
    die_with_parent(parent)
    try:
        os.execvp(program[0], program)
    except OSError as error:
        sys.stderr.write(f"{program[0]}: {error.strerror}\n")
    return 127


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
