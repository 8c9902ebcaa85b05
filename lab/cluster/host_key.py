"""The key by which an ensemble's datagrams are known on one host, and whether links may be bound there at all."""

import hashlib

from lab.cluster.errors import ClusterError
from lab.transport.errors import SealError
from lab.transport.seal import check_bind, key_from_file
from lab.transport.udp import bind_udp

_PURPOSE = b"zab-lab key id"


class HostKey:
    """Read from a file of this host, which never leaves it: what coordinators and agents say may not be encrypted."""

    def __init__(self, address: str, key_file: str) -> None:
        """`address`: where links are bound; empty: nowhere.

        Raises ClusterError if there must be a key and is none, or nothing can be bound there.
        """
        self.address = address
        try:
            self.key = key_from_file(key_file) if key_file else b""
            if address:
                check_bind(address, self.key)
                bind_udp(address).close()
        except SealError as error:
            raise ClusterError(str(error)) from error
        except OSError as error:
            raise ClusterError(f"cannot bind {address}: {error.strerror}: is it an address of this host?") from error

    @property
    def fingerprint(self) -> bytes:
        """Tells one key from another and says nothing of it; empty without a key."""
        return hashlib.blake2b(self.key, digest_size=8, person=_PURPOSE).digest() if self.key else b""
