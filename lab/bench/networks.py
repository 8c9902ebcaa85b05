"""The network that settings ask for: what it is, what it lends them, whether it can be.

Whatever is wrong is a NetworkError, one line that names the option or file.
"""

from typing import Any

from lab.bench.record import Settings
from lab.networks import NONE, ROLES, Layout, Network, NetworkError, load_network, network_of

WRITES_OF_PATIENCE = 4  # a datagram of a write may be lost, and a large one takes several windows


def network_of_settings(settings: Settings) -> Network | None:
    """What links do to datagrams, and who stands where; None: nothing is done to them."""
    sites = {role: getattr(settings, f"{role}_sites") for role in ROLES}
    return network_of(settings.network, loss=settings.loss, delay_ms=settings.delay_ms, sites=sites)


def layout_of_settings(settings: Settings) -> Layout | None:
    """Who stands where; None without a network."""
    network = network_of_settings(settings)
    return None if network is None else Layout(network, settings.voters)


def carries_datagrams(settings: Settings) -> bool:
    """Whether something can be done to single links: a network does it to datagrams, whatever carries them."""
    return settings.transport == "udp" or network_of_settings(settings) is not None


def network_settings(name: str | None) -> dict[str, Any]:
    """The settings that come with a network; none without one."""
    if name is None or name == NONE:
        return {}
    network = load_network(name)
    tick = {} if network.tick_ms is None else {"tick_ms": network.tick_ms}
    return {"network": name, "network_digest": network.digest, **tick}


def sites_of(settings: Settings) -> dict[str, str]:
    """At which site `server 1`, `client 0` ... stand; empty without a network."""
    layout = layout_of_settings(settings)
    if layout is None:
        return {}
    return {
        **{f"server {n}": layout.server_site(n) for n in range(1, settings.voters + settings.observers + 1)},
        **{f"client {n}": layout.client_site(n) for n in range(settings.clients)},
    }


def slowest_write_ms(settings: Settings) -> float:
    """What the network alone makes a write wait, at worst: whoever the client asks, whoever leads; 0 without one."""
    layout = layout_of_settings(settings)
    if layout is None:
        return 0.0
    servers = range(1, settings.voters + settings.observers + 1)
    voters, clients = servers[: settings.voters], range(settings.clients)
    return max(layout.write_ms(c, server, leader) for c in clients for server in servers for leader in voters)


def with_patience_ms(settings: Settings, usual_ms: float) -> float:
    """How long a client waits for an answer where that is usually enough, of what the network makes it wait."""
    return max(usual_ms, WRITES_OF_PATIENCE * slowest_write_ms(settings))


def check_network(settings: Settings) -> None:
    """It is what it was when it was asked for, and its round trips leave a leader its followers."""
    network = network_of_settings(settings)
    if settings.network_digest:
        found = network_settings(settings.network).get("network_digest", "")
        if found != settings.network_digest:
            raise NetworkError(
                f"--network {settings.network}: not what it was when this was asked for: its digest is "
                f"{found or 'none'}, allowed: {settings.network_digest}"
            )
    if network is None:
        if settings.attach == "nearest":
            raise NetworkError("--attach nearest: there is no network, allowed: leader, followers, observers or all "
                               "(or --network zones)")  # fmt: skip
        return
    places = {site for process, site in sites_of(settings).items() if process.startswith("server")}
    rtt_ms, one, other = max((network.rtt_ms(one, other), one, other) for one in places for other in places)
    limit_ms = settings.tick_ms * settings.sync_limit_ticks
    if rtt_ms >= limit_ms:
        raise NetworkError(
            f"--tick-ms {settings.tick_ms}: a leader waits {limit_ms:,} ms for an answer, and a round trip between "
            f"{one} and {other} takes {rtt_ms:,.0f} ms, "
            f"allowed: at least {int(rtt_ms / settings.sync_limit_ticks) + 1}"
        )
