"""The key by which an ensemble's datagrams are known on one host, and whether links may be bound there at all."""

from lab.cluster.errors import ClusterError
from lab.transport.errors import SealError
from lab.transport.seal import check_bind, key_from_file


class HostKey:
    """Read from a file of this host, which never leaves it: what coordinators and agents say may not be encrypted."""

    def __init__(self, address: str, key_file: str) -> None:
        """`address`: where links are bound; empty: nowhere.  Raises ClusterError if there must be a key and is none."""
        self.address = address
        try:
            self.key = key_from_file(key_file) if key_file else b""
            if address:
                check_bind(address, self.key)
        except SealError as error:
            raise ClusterError(str(error)) from error
