"""A network as it is used: a shape for every ordered pair of sites, and the sites of servers and clients."""

import hashlib

import msgspec

from lab.faults import Shape

ROLES = ("voter", "observer", "client")


class NetworkError(ValueError):
    """A network cannot be had: names the option or file and field, what was found and what is allowed."""


class Network(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Several processes may stand at one site; they are linked, too."""

    name: str
    about: str = ""
    sources: tuple[str, ...] = ()
    sites: tuple[str, ...]
    shapes: dict[str, dict[str, Shape]]  # from site, to site; complete
    voters: tuple[str, ...]  # their sites, taken round-robin; so are those of the next two
    observers: tuple[str, ...]
    clients: tuple[str, ...]
    tick_ms: int | None = None  # what suits these round trips, if the usual tick does not

    def shape(self, source: str, target: str) -> Shape:
        """Of what is sent at site `source` to site `target`."""
        return self.shapes[source][target]

    def site_of(self, role: str, index: int) -> str:
        """Where the voter, observer or client stands that is number `index` of its kind, from 0."""
        sites = {"voter": self.voters, "observer": self.observers, "client": self.clients}[role]
        return sites[index % len(sites)]

    def rtt_ms(self, one: str, other: str) -> float:
        """The typical round trip between two sites."""
        there, back = self.shape(one, other).delay, self.shape(other, one).delay
        return sum(delay.typical_ms for delay in (there, back) if delay is not None)

    def placed(self, sites: dict[str, str]) -> "Network":
        """With other sites, as typed (`a,b,c`), for some of the ROLES; an empty text changes nothing."""
        changes: dict[str, tuple[str, ...]] = {}
        for role, text in sites.items():
            if not text:
                continue
            names = tuple(name.strip() for name in text.split(","))
            for name in names:
                if name not in self.sites:
                    allowed = ", ".join(self.sites)
                    raise NetworkError(f"--{role}-sites: found {name!r}, allowed in network {self.name}: {allowed}")
            changes[f"{role}s"] = names
        return msgspec.structs.replace(self, **changes)

    @property
    def digest(self) -> str:
        """Of all that has an influence on what is measured: networks of one name may differ."""
        content = (self.sites, self.shapes, self.voters, self.observers, self.clients, self.tick_ms)
        return hashlib.blake2b(msgspec.msgpack.encode(content), digest_size=4).hexdigest()
