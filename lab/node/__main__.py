"""`python -m lab.node FD`: FD is the control socket of `lab.node.control`."""

import sys

from lab.node.main import main

sys.exit(main(sys.argv[1:]))
