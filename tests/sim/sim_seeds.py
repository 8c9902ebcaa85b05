"""Which seeds the tests walk: they follow from the code, so that nobody tunes the lab to a list.

One tree has one list, and a red build is the change's doing; any change of the lab has another list.  pytest names the
seed of every walk that fails.
"""

from pathlib import Path
from zlib import crc32

LAB = Path(__file__).parents[2] / "lab"


def first_seed_of_this_code() -> int:
    found = 0
    for path in sorted(LAB.rglob("*.py")):
        found = crc32(path.read_bytes(), found)
    return found
