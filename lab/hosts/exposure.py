"""Where Dask listens: unencrypted on loopback only, since whoever reaches a scheduler or a worker runs code as you."""

from collections.abc import Iterable
from typing import Any

from lab.cluster.errors import ClusterError
from lab.transport.seal import is_loopback


def listening(dask_scheduler: Any = None) -> list[str]:
    """Runs in the scheduler, which Dask hands over, or in a worker: its addresses as Dask writes them."""
    from distributed import get_worker

    server = dask_scheduler or get_worker()
    return [listener.listen_address for listener in server.listeners]


def insist_on_loopback(who: str, addresses: Iterable[str]) -> None:
    """Raises ClusterError naming the first address at which others could write to it."""
    for address in addresses:
        scheme, _, rest = address.partition("://")
        if scheme != "tls" and not is_loopback(rest.rpartition(":")[0].strip("[]")):
            raise ClusterError(
                f"{who} listens on {address}, unencrypted, and whoever reaches it runs code as you: start it with "
                "--host 127.0.0.1 or with tls:// (README, several hosts), or say insecure_dask = true in a network "
                "that you trust"
            )
