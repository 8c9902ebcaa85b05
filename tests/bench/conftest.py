"""The fake ensemble belongs to the clients' tests, the one that marks hops to the nodes'; they serve here, too."""

import sys
from pathlib import Path

for folder in ("client", "node"):
    sys.path.append(str(Path(__file__).parents[1] / folder))
