"""The points of the suite `network`: how servers are linked, and how far they are from each other and from clients.

`transport/...` links of this host against each other; `loss/...` UDP that loses datagrams; `preset/...` one write at a
time, and `outage/...` failovers, by network preset; `far/...` clients in another region than the voters.  Beside them
`snapshot/...`, trees to new observers, and `light/...`, floors of the ways between two processes.
"""

from collections.abc import Iterable

import msgspec

from lab.bench.networks import network_settings
from lab.bench.point import Job, Point, Timing, point_of, settings_of
from lab.bench.record import Settings

SUITE = "network"
NETWORK_BUDGETS_S = {"smoke": 25.0, "quick": 500.0, "full": 2 * 3600.0}
NETWORK_ROUNDS_LEAST = {"smoke": 1, "quick": 3, "full": 5}
ROUNDS = {"smoke": 1, "quick": 3, "full": 10}

BASE = "shm"  # the transport that the others are held against
LINKS: dict[str, dict[str, object]] = {
    "shm": {},
    "udp": {"transport": "udp"},
    "udp-60000": {"transport": "udp", "udp_mtu": 60_000},
    "udp-sealed": {"transport": "udp", "sealed": True},
}
LINK_TIMINGS = {"smoke": Timing(0.5, 0.3), "quick": Timing(0.8, 0.3), "full": Timing(3.0, 1.0)}

DELAY_MS = 2.0  # one way, on every link, those of clients included
LOSSES = {"smoke": (0.0, 0.1), "quick": (0.0, 0.01, 0.1), "full": (0.0, 0.001, 0.01, 0.02, 0.05, 0.1)}
LOSS_TIMINGS = {"smoke": Timing(0.5, 0.3), "quick": Timing(1.2, 0.4), "full": Timing(5.0, 1.0)}


PRESETS = {
    "smoke": ("zones",),
    "quick": ("none", "lan", "zones", "regions", "oceans"),
    "full": ("none", "lan", "zones", "regions", "oceans"),
}
PRESET_TIMINGS = {  # some dozens of writes at least, in quick
    "smoke": {"zones": Timing(1.0, 0.3)},
    "quick": {
        "none": Timing(1.0, 0.3), "lan": Timing(1.0, 0.3), "zones": Timing(1.5, 0.3), "regions": Timing(2.0, 0.5),
        "oceans": Timing(3.0, 0.5),
    },
    "full": {
        "none": Timing(3.0, 0.5), "lan": Timing(3.0, 0.5), "zones": Timing(5.0, 0.5), "regions": Timing(10.0, 1.0),
        "oceans": Timing(20.0, 2.0),
    },
}  # fmt: skip
OUTAGES = {  # networks, failovers of each fault, rounds
    "smoke": (("zones",), 1, 1),
    "quick": (("none", "zones", "oceans"), 6, 2),
    "full": (("none", "lan", "zones", "regions", "oceans"), 40, 10),
}
FAULTS = ("crash", "partition")

FAR = "outpost"  # voters in three zones of one region, and another region across an ocean
FAR_SITE, NEAR_SITE = "sydney", "dallas-3"  # of the far clients, and of those at the leader: the last voter leads
FAR_TIMINGS = {"smoke": Timing(0.6, 0.3), "quick": Timing(1.0, 0.3), "full": Timing(10.0, 1.0)}
WAYS: dict[str, dict[str, object]] = {  # who stands in the far region
    "leader": {},
    "observer": {"observers": 1},
    "voter": {"voters": 4, "voter_sites": f"{FAR_SITE},dallas-1,dallas-2,{NEAR_SITE}"},
}


TREES = {  # MiB, loss, one run's seconds, rounds
    "smoke": ((2, 0.01, 3.0, 1),),
    "quick": ((200, 0.0, 14.0, 1), (200, 0.01, 15.0, 3)),
    "full": ((200, 0.0, 14.0, 5), (200, 0.01, 15.0, 5), (200, 0.1, 40.0, 5)),
}
TREE_RATE = 1_000  # writes/s while a tree is under way


def network_jobs(profile: str) -> tuple[Job, ...]:
    """What is no trial: floors of the ways between two processes, and trees to new observers."""
    return (*light(profile), *trees(profile))


def light(profile: str) -> Iterable[Job]:
    """The floors that `speed` has, too."""
    for way, seconds in (("ring", 1.6), ("datagrams", 4.5), ("window", 3.5), ("strangers", 1.5)):
        if profile != "smoke":
            yield Job(
                id=f"light/{way}", suite=SUITE, module="lab.bench.floors", arguments=(way,), rounds=ROUNDS[profile],
                seconds=seconds,
            )  # fmt: skip


def trees(profile: str) -> Iterable[Job]:
    """A whole tree to an observer that has nothing, while writes go on."""
    for mib, loss, seconds, rounds in TREES[profile]:
        yield Job(
            id=f"snapshot/{mib}/{loss:g}", suite=SUITE, module="lab.bench.far_snapshot",
            arguments=(str(mib), f"{loss:g}", f"{DELAY_MS:g}", str(TREE_RATE)), rounds=rounds, seconds=seconds,
        )  # fmt: skip


def network_points(profile: str) -> tuple[Point, ...]:
    return (*transports(profile), *losses(profile), *presets(profile), *outages(profile), *far_clients(profile))


def transports(profile: str) -> Iterable[Point]:
    """Three voters on this host: writes as many as they take, single writes, and reads from all servers."""
    links = ("shm", "udp") if profile == "smoke" else tuple(LINKS)
    timing = LINK_TIMINGS[profile]
    for link in links:
        usual = settings_of((3, 0), timing, durability="buffered", **LINKS[link])
        yield _point(profile, f"transport/{link}/writes/256", usual, outstanding=256)
        if profile != "smoke":
            yield _point(profile, f"transport/{link}/writes/1", usual, outstanding=1)
            yield _point(
                profile, f"transport/{link}/reads/256", usual, reads=1.0, clients=2, outstanding=128, attach="all"
            )


def losses(profile: str) -> Iterable[Point]:
    """Every link loses that share of its datagrams: what a pipeline makes of it, and what a single write waits."""
    for load in (256,) if profile == "smoke" else (256, 1):
        for loss in LOSSES[profile]:
            usual = settings_of(
                (3, 0), LOSS_TIMINGS[profile], durability="buffered", transport="udp", delay_ms=DELAY_MS, loss=loss
            )
            yield _point(profile, f"loss/{loss:g}/writes/{load}", usual, outstanding=load)


def presets(profile: str) -> Iterable[Point]:
    """Single writes of a client at the leader's site; their floor is a quorum's round trip."""
    for network in PRESETS[profile]:
        timing = PRESET_TIMINGS[profile][network]
        usual = settings_of((3, 0), timing, durability="buffered", transport="udp", **network_settings(network))
        yield _point(profile, f"preset/{network}/writes/1", usual, outstanding=1)


def outages(profile: str) -> Iterable[Point]:
    """A value is one outage."""
    networks, values, rounds = OUTAGES[profile]
    for network in networks:
        for fault in FAULTS[:1] if profile == "smoke" else FAULTS:
            settings = Settings(
                voters=3, durability="buffered", outstanding=1, warmup=0.2, transport="udp", fault=fault, repeats=1,
                **network_settings(network),
            )  # fmt: skip
            yield Point(
                id=f"outage/{network}/{fault}", suite=SUITE, settings=settings, rounds=rounds, values=values
            )  # fmt: skip


def far_clients(profile: str) -> Iterable[Point]:
    """Clients of the far region at whoever stands there, and what writes of clients at the leader cost meanwhile."""
    timing = FAR_TIMINGS[profile]
    for way, changes in list(WAYS.items())[: 2 if profile == "smoke" else None]:
        usual = settings_of((3, 0), timing, durability="buffered", transport="udp", **network_settings(FAR), **changes)
        far = {"client_sites": FAR_SITE, "attach": "leader" if way == "leader" else "nearest"}
        near = {"client_sites": NEAR_SITE}
        yield _point(profile, f"far/{way}/reads/1", usual, reads=1.0, outstanding=1, **far)
        if profile == "full" or (profile == "quick" and way != "voter"):  # whose reads are as local as an observer's
            yield _point(profile, f"far/{way}/reads/256", usual, reads=1.0, outstanding=256, **far)
        if profile != "smoke":
            yield _point(profile, f"far/{way}/writes/1", usual, outstanding=1, **far)
            yield _point(profile, f"far/{way}/near/1", usual, outstanding=1, **near)
            yield _point(profile, f"far/{way}/near/256", usual, outstanding=256, **near)


def _point(profile: str, name: str, settings: Settings, **changes: object) -> Point:
    return point_of(name, SUITE, msgspec.structs.replace(settings, **changes), ROUNDS[profile])
