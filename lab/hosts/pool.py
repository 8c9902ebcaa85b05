"""The hosts of a file, as workers of a Dask cluster: found, checked, and each with a link to an agent there."""

import logging
from pathlib import Path
from typing import Any

import msgspec

from lab.bench.machine import describe_commit, describe_machine
from lab.bench.record import Machine
from lab.bench.systems import missing_targets
from lab.cluster.errors import ClusterError
from lab.cluster.host_file import Host, Hosts
from lab.cluster.host_link import HostLink
from lab.hosts.door import AgentDoor
from lab.hosts.exposure import insist_on_loopback, listening
from lab.hosts.tunnel import Tunnel

CONNECT_TIMEOUT_S = 20.0
START_TIMEOUT_S = 60.0  # for a worker to import what it needs and start the agent


class About(msgspec.Struct, frozen=True):
    """What a host says of itself."""

    machine: Machine
    commit: str
    dirty: bool
    missing: dict[str, str]  # targets that cannot be measured there, with what is missing
    listens: list[str]  # addresses of its Dask worker


def describe_host(data_dir: str) -> bytes:
    """Runs in the worker."""
    commit, dirty = describe_commit()
    return msgspec.json.encode(About(describe_machine(Path(data_dir)), commit, dirty, missing_targets(), listening()))


class HostPool:
    """Connect, `open` each host that takes part, `close`.  Raises ClusterError."""

    def __init__(self, hosts: Hosts) -> None:
        """Connects to the scheduler; every host of the file must be there."""
        self.hosts = hosts
        self.links: dict[str, HostLink] = {}
        self.about: dict[str, About] = {}
        self._tunnels: dict[str, Tunnel] = {}
        self._client = _connect(hosts.scheduler)
        try:
            if not hosts.insecure_dask:
                insist_on_loopback("the scheduler", _of_scheduler(self._client))
            self._workers = _workers(self._client)
            if missing := [host for host in hosts.host if host.name not in self._workers]:
                raise ClusterError(
                    f"host {missing[0].name}: {hosts.scheduler} has no worker of that name, it has "
                    f"{', '.join(sorted(self._workers)) or 'none'}: {_how_to_start(missing[0], hosts.scheduler)}"
                )
        except BaseException:
            self._client.close()
            raise

    def describe(self, name: str, data_dir: str) -> About:
        """Ask a host what it is; refuse one that runs other code than this process, or whatever others send it."""
        told = self._in_worker(name, describe_host, data_dir)
        about = msgspec.json.decode(told, type=About)
        if not self.hosts.insecure_dask:
            insist_on_loopback(f"host {name}: its Dask worker", about.listens)
        here, _ = describe_commit()
        ours, theirs = (about.machine.versions["lab"], describe_machine(Path(data_dir)).versions["lab"])
        if ours != theirs or (here != about.commit and "unknown" not in (here, about.commit)):
            raise ClusterError(
                f"host {name} runs lab {theirs} of commit {about.commit}, this process {ours} of {here}: "
                "install the same on both"
            )
        self.about[name] = about
        return about

    def address_of(self, host: Host) -> str:
        """Where its servers bind: what the file says, or where its Dask worker is reached."""
        return host.address or self._workers[host.name].partition("://")[2].rpartition(":")[0].strip("[]")

    def open(self, host: Host) -> HostLink:
        """Start an agent there."""
        door = self._in_worker(host.name, AgentDoor, actor=True)
        tunnel = self._tunnels[host.name] = Tunnel(door, self._client.loop.asyncio_loop)
        link = self.links[host.name] = HostLink(host.name, tunnel.stream, tunnel.why)
        return link

    def close(self) -> None:
        """End everything on every host; a second call does nothing.  Raises ClusterError naming a host in doubt."""
        doubts = []
        for link in self.links.values():
            link.close()
        for name, tunnel in self._tunnels.items():
            try:
                tunnel.close()
            except Exception as error:  # noqa: BLE001 - whatever Dask says, the other hosts come first
                doubts.append(f"host {name}: whether its agent has ended everything is not known: {_words(error)}")
        self.links.clear()
        self._tunnels.clear()
        self._client.close()
        if doubts:
            raise ClusterError("; ".join(doubts))

    def _in_worker(self, name: str, function: Any, *arguments: Any, **more: Any) -> Any:
        """Its result, by that worker and no other."""
        future = self._client.submit(
            function,
            *arguments,
            workers=[self._workers[name]],
            allow_other_workers=False,
            pure=False,
            retries=0,
            **more,
        )
        try:
            return future.result(START_TIMEOUT_S)
        except Exception as error:
            raise ClusterError(f"host {name}: its Dask worker cannot {_doing(function)}: {_words(error)}") from error


def _words(error: Exception) -> str:
    words = " ".join(str(error).split()) or type(error).__name__
    if "deserialization" in words or "No module named" in words:
        words += ": the scheduler and every worker need the same lab (pip install -e '.[hosts]' of one commit)"
    return words


def _doing(function: Any) -> str:
    return "start an agent" if function is AgentDoor else "describe its machine"


def _how_to_start(host: Host, scheduler: str) -> str:
    return (  # what Dask is not told an address for it binds to all of them
        f"`dask worker {scheduler} --name {host.name} --nthreads 1 --no-nanny --host {host.address or 'ITS-ADDRESS'} "
        "--dashboard-address 127.0.0.1:0`"
    )


def _connect(scheduler: str) -> Any:
    try:
        from distributed import Client
    except ImportError as error:
        raise ClusterError(f"several hosts need dask.distributed ({error}): pip install 'zab-lab[hosts]'") from error
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in ("distributed", "tornado"):  # what breaks is told by us, in one line
            logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        return Client(scheduler, timeout=CONNECT_TIMEOUT_S)  # the default one, or actors would not find it
    except Exception as error:
        raise ClusterError(
            f"scheduler {scheduler}: cannot be reached: {_words(error)}: is `dask scheduler` running?"
        ) from error


def _of_scheduler(client: Any) -> list[str]:
    """Where it listens."""
    try:
        return list(client.run_on_scheduler(listening))
    except Exception as error:
        raise ClusterError(f"the scheduler cannot say where it listens: {_words(error)}") from error


def _workers(client: Any) -> dict[str, str]:
    """Addresses by name."""
    found = client.scheduler_info(n_workers=-1)["workers"]
    return {str(about["name"]): address for address, about in found.items()}
