"""The fake ensemble belongs to the clients' tests; load processes are tested against it, too."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "client"))
