"""`python -m lab.node FD`: FD is the control socket of `lab.node.control`."""

import sys

from lab.node.lifeline import die_with_parent

try:
    die_with_parent(None)  # first, because importing the rest takes most of the start
except OSError as error:
    sys.exit(f"lab.node: {error}")

from lab.node.main import main

sys.exit(main(sys.argv[1:]))
