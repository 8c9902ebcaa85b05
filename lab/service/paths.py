"""Which paths a node may have (zab.md 8.1; ZooKeeper: PathUtils)."""

import re

_FORBIDDEN = re.compile("[\u0000-\u001f\u007f-\u009f\ud800-\uf8ff\ufff0-\uffff]")


def is_valid_path(path: str) -> bool:
    """Absolute, no trailing slash, no empty, "." or ".." component, no control characters."""
    if path == "/":
        return True
    if not path.startswith("/") or _FORBIDDEN.search(path):
        return False
    return all(name not in ("", ".", "..") for name in path[1:].split("/"))
