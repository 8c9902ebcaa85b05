"""The grid is DESIGN's table, point for point."""

import msgspec
import pytest

from lab.bench.command import within
from lab.bench.grid import BUDGETS_S, families, find_point, planned_s, profile
from lab.bench.knob_grid import knob_points
from lab.bench.limits import SettingsError, check_failover, check_settings
from lab.bench.network_grid import LINKS, NETWORK_BUDGETS_S, network_points
from lab.bench.networks import layout_of_settings
from lab.bench.peer_grid import peer_points
from lab.bench.plan import Plan
from lab.bench.point import BY_NAME, LOOPS, PROFILES, SUITES
from lab.bench.speed_grid import SPEED_BUDGETS_S

GRID = ("election", "write-latency", "read-scaling")  # the suites that compare ensembles

FIVE = ("3+0", "3+2", "5+0", "3+4", "7+0")
LATENCY = (
    "write-latency/3+0/fsync/leader",
    "write-latency/3+0/buffered/leader",
    "write-latency/3+0/buffered/followers",
    "write-latency/3+2/buffered/observers",
    "write-latency/5+0/buffered/leader",
)
EXPECTED = {  # profile: id -> (rounds, values)
    "smoke": {
        **{f"write-throughput/{shape}/buffered": (1, 1) for shape in ("3+0", "3+1")},
        "write-latency/3+0/buffered/leader": (1, 1),
        **{f"mix/{shape}/{ratio}": (1, 1) for shape in ("3+0", "3+1") for ratio in ("0.5", "1")},
        "election/3+0/crash": (1, 3),
    },
    "quick": {
        **{f"write-throughput/{shape}/buffered": (6, 6) for shape in FIVE},
        **dict.fromkeys(LATENCY, (6, 6)),
        **{f"reads/{shape}": (4, 4) for shape in FIVE},
        **{f"mix/{shape}/{ratio}": (3, 3) for shape in ("3+0", "3+2") for ratio in ("0.5", "0.9", "1")},
        **{f"election/{shape}/crash": (3, 20) for shape in ("3+0", "5+0", "3+2")},
        "election/3+0/freeze": (3, 8),
    },
    "full": {
        **{
            f"write-throughput/{shape}/{durability}": (15, 15)
            for shape in (*FIVE, "3+1", "3+8", "9+0")
            for durability in ("buffered", "fsync")
        },
        **dict.fromkeys(LATENCY, (15, 15)),
        "write-latency/1+0/buffered/leader": (15, 15),
        "write-latency/7+0/buffered/leader": (15, 15),
        "write-latency/3+0/memory/leader": (15, 15),
        **{f"reads/{shape}": (15, 15) for shape in (*FIVE, "9+0", "3+6")},
        **{
            f"mix/{shape}/{ratio}": (15, 15)
            for shape in FIVE
            for ratio in ("0", "0.25", "0.5", "0.75", "0.9", "0.99", "1")
        },
        **{f"election/{shape}/crash": (20, 200) for shape in ("3+0", "5+0", "3+2", "7+0")},
        "election/3+0/freeze": (20, 200),
        "election/3+0/partition": (20, 200),
    },
}


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_is_the_table(name):
    assert {point.id: (point.rounds, point.values) for point in profile(name, GRID).points} == EXPECTED[name]
    by_default = {point.suite for point in profile(name).points}
    assert by_default == ({*GRID, *BY_NAME} if name == "full" else set(GRID))


@pytest.mark.parametrize("name", PROFILES)
def test_every_point_is_possible_and_says_what_it_is(name):
    for point in profile(name, GRID).points:
        family, shape, *rest = point.id.split("/")
        voters, observers = map(int, shape.split("+"))
        settings = point.settings
        assert (settings.voters, settings.observers) == (voters, observers)
        assert point.suite in SUITES
        assert point.suite in LOOPS
        if family == "election":
            assert check_failover(settings).fault == rest[0]
            continue
        check_settings(settings)
        match family:
            case "write-throughput":
                assert (settings.outstanding, settings.durability, settings.reads) == (256, rest[0], 0.0)
            case "write-latency":
                assert (settings.outstanding, [settings.durability, settings.attach]) == (1, rest)
            case "reads" | "mix":
                assert (settings.cpu_share, settings.attach) == (0.1, "all")
                assert settings.reads == (float(rest[0]) if rest else 1.0)


@pytest.mark.parametrize("name", PROFILES)
def test_every_point_of_speed_is_possible_and_its_id_says_what_it_is(name):
    points = profile(name, ("speed",)).points
    assert len({point.id for point in points}) == len(points)
    for point in points:
        settings = point.settings
        if settings.fault is not None:
            check_failover(settings)
        else:
            check_settings(settings)
        match point.id.split("/"):
            case ["bar", "writes", shape, durability, outstanding]:
                assert shape == f"{settings.voters}+{settings.observers}"
                assert (settings.durability, str(settings.outstanding)) == (durability, outstanding)
                assert (settings.reads, settings.attach, settings.value_bytes) == (0.0, "leader", 100)
            case ["bar", "reads" | "mix" as what, "3+0", outstanding]:
                assert settings.clients * settings.outstanding == int(outstanding)
                assert (settings.reads, settings.attach) == (1.0 if what == "reads" else 0.9, "all")
            case ["bar", "outage", "3+0", fault]:
                assert (settings.fault, settings.durability) == (fault, "fsync")
            case ["floor", "null", *_]:
                assert settings.target == "null"


def test_a_family_of_speed_can_be_asked_for_and_brings_what_stands_beside_it():
    bars = profile("quick", ("speed/bar",))
    assert {point.id.split("/")[0] for point in bars.points} == {"bar"}
    assert {job.id for job in bars.jobs} == {"floor/hop", "floor/disk"}
    whole = profile("quick", ("speed",))
    assert bars.budget_s < whole.budget_s
    assert bars.rounds_least == whole.rounds_least


def test_bars_are_measured_in_five_rounds_at_least_and_a_hundred_outages_in_quick():
    points = {point.id: point for point in profile("quick", ("speed",)).points}
    assert {point.rounds for id_, point in points.items() if id_.startswith("bar/")} == {5}
    assert points["bar/outage/3+0/crash"].values == 100


def test_values_are_shared_out_over_the_rounds_and_extra_rounds_repeat_the_first():
    point = find_point("election/3+0/crash")
    assert point is not None
    assert [point.values_in(round_) for round_ in range(4)] == [7, 7, 6, 7]


def test_an_id_means_one_configuration_in_every_profile_but_for_its_length():
    for name in PROFILES:
        for point in profile(name, SUITES).points:
            other = find_point(point.id)
            assert other is not None
            differing = {
                field
                for field in other.settings.__struct_fields__
                if getattr(other.settings, field) != getattr(point.settings, field)
            }
            assert differing <= {"seconds", "warmup"}, point.id
            assert point.suite == other.suite


@pytest.mark.parametrize("name", PROFILES)
def test_the_plan_fits_its_budget(name):
    assert planned_s(profile(name, GRID).points) < BUDGETS_S[name] * 1.1
    speed = profile(name, ("speed",))
    assert planned_s(speed.points) + sum(job.seconds * job.rounds for job in speed.jobs) < SPEED_BUDGETS_S[name] * 1.1
    assert BUDGETS_S["smoke"] <= 60
    assert BUDGETS_S["quick"] <= 360


@pytest.mark.parametrize("name", PROFILES)
def test_every_point_of_network_is_possible_and_its_id_says_what_it_is(name):
    points = network_points(name)
    assert len({point.id for point in points}) == len(points)
    for point in points:
        settings = point.settings
        if settings.fault is not None:
            check_failover(settings)
        else:
            check_settings(settings)
        match point.id.split("/"):
            case ["transport", link, "writes" | "reads", load]:
                assert {field: getattr(settings, field) for field in LINKS[link]} == LINKS[link]
                assert (settings.network, settings.delay_ms, settings.loss) == ("none", 0.0, 0.0)
                assert settings.clients * settings.outstanding == int(load)
            case ["loss", loss, "writes", load]:
                assert (settings.transport, settings.loss, settings.outstanding) == ("udp", float(loss), int(load))
                assert settings.delay_ms > 0
            case ["preset", network, "writes", "1"]:
                assert (settings.transport, settings.network, settings.outstanding) == ("udp", network, 1)
            case ["outage", network, fault]:
                assert (settings.transport, settings.network, settings.fault) == ("udp", network, fault)
            case ["far", way, "reads" | "writes" | "near" as load, _]:
                assert (settings.voters, settings.observers) == {
                    "leader": (3, 0), "observer": (3, 1), "voter": (4, 0)
                }[way]  # fmt: skip
                assert settings.attach == ("leader" if way == "leader" or load == "near" else "nearest")
            case unknown:
                pytest.fail(f"{unknown} is no point of network")


@pytest.mark.parametrize("name", PROFILES)
def test_far_clients_are_across_the_ocean_from_the_voters_and_near_ones_are_where_the_last_voter_is(name):
    for point in network_points(name):
        family, way, load = (*point.id.split("/"), "", "")[:3]
        if family == "far":
            layout = layout_of_settings(point.settings)
            assert layout is not None
            servers = range(1, point.settings.voters + point.settings.observers + 1)
            [nearest, *others] = layout.nearest(0, list(servers))
            if load == "near":
                assert [nearest, *others] == [point.settings.voters], "who leads first, if it can"
            elif way == "leader":
                assert layout.read_ms(0, nearest) > 100
            else:
                assert layout.read_ms(0, nearest) < 1
                assert not others


@pytest.mark.parametrize("name", PROFILES)
def test_a_plan_of_network_fits_its_budget(name):
    assert planned_s(network_points(name)) < NETWORK_BUDGETS_S[name] * 1.1
    assert NETWORK_BUDGETS_S["smoke"] <= 25
    assert NETWORK_BUDGETS_S["quick"] <= 500


def test_a_family_of_network_can_be_asked_for():
    assert {point.id.split("/")[0] for point in profile("quick", ("network/loss",)).points} == {"loss"}


@pytest.mark.parametrize(("family", "modules"), [
    ("network/snapshot", {"lab.bench.far_snapshot"}),
    ("network/light", {"lab.bench.floors"}),
    ("speed/tree", {"lab.bench.large_tree"}),
])  # fmt: skip
def test_a_family_of_jobs_can_be_asked_for_alone_and_has_its_share_of_time(family, modules):
    assert family in families()
    part = profile("quick", (family,))
    assert part.points == ()
    assert {job.module for job in part.jobs} == modules
    whole = profile("quick", (family.partition("/")[0],))
    share = sum(job.seconds * job.rounds for job in part.jobs) / planned_s(whole.points, whole.jobs)
    assert part.budget_s == pytest.approx(share * whole.budget_s)
    assert share > 0


def test_only_smoke_may_have_a_single_round():
    rounds = {name: (profile(name).rounds_least, profile(name).rounds_most) for name in PROFILES}
    assert rounds == {"smoke": (1, 1), "quick": (3, None), "full": (5, None)}
    assert profile("quick", ("speed",)).rounds_least == 5


@pytest.mark.parametrize("name", PROFILES)
def test_a_knob_is_turned_alone_and_held_against_the_usual_point(name):
    """But for the pipeline, which has two, and for who serves, which is about the clients' servers, too."""
    points = {point.id: point.settings for point in knob_points(name)}
    assert len(points) == len(knob_points(name))
    allowed = {
        "durability": {"durability"},
        "pipeline": {"max_outstanding", "batch_txns_max"},
        "placement": {"placement"},
        "wait": {"wait"},
    }
    families = {point.split("/")[1] for point in points}
    assert families == {*allowed, "usual", "leader-serves"}
    usual = [settings for point, settings in points.items() if point.startswith("knob/usual/")]
    for point, settings in points.items():
        check_settings(settings)
        family = point.split("/")[1]
        if family in allowed:
            turned = [differing(settings, other) for other in usual]
            assert any(fields and fields <= allowed[family] for fields in turned), point
        if family == "leader-serves":
            assert settings.leader_serves or settings.attach == "followers"


def differing(a, b):
    return {field for field in a.__struct_fields__ if getattr(a, field) != getattr(b, field)}


def test_what_cannot_be_placed_here_is_left_out_and_named():
    plan = Plan(profile=profile("quick", ("speed",)))
    assert within(plan, 2, {}) == (plan, [])
    alone, left_out = within(plan, 1, {})
    placements = {point.settings.placement for point in alone.points}
    assert placements == {"free", "together"}
    assert len(alone.points) + len(left_out) == len(plan.points)
    assert left_out[0] == (
        "left out: knob/placement/spread/buffered/1: --placement: 'spread' needs 2 CPUs, this process may use 1, "
        "allowed: free or together"
    )


def test_a_target_that_is_not_installed_is_left_out_and_named():
    plan = Plan(profile=profile("quick", ("speed",)))
    without, left_out = within(plan, 2, {"zookeeper": "zookeeper: no java on this machine: get one"})
    assert {point.settings.target for point in without.points} == {"own", "null"}
    assert len(plan.points) - len(without.points) == 4
    assert left_out == [
        "left out: 4 points of zookeeper, peer/zookeeper/writes/4x256 and so on: "
        "zookeeper: no java on this machine: get one"
    ]


@pytest.mark.parametrize("name", PROFILES)
def test_a_peer_is_measured_under_the_load_of_ours_and_warmed_for_longer(name):
    by_target = {}
    for point in peer_points(name):
        _, target, load = point.id.split("/", 2)
        by_target.setdefault(target, {})[load] = check_settings(point.settings)
    ours, theirs = by_target.pop("own"), by_target.pop("zookeeper")
    assert (ours.keys(), by_target) == (theirs.keys(), {})
    for load, settings in theirs.items():
        assert settings.warmup > ours[load].warmup
        assert settings.warmup >= 10 or name == "smoke", "ARCHITECTURE: a JVM takes some ten seconds"
        same = {field: getattr(ours[load], field) for field in ("target", "transport", "warmup")}
        assert msgspec.structs.replace(settings, **same) == ours[load]


def test_what_a_whole_run_is_told_reaches_the_targets_that_know_it():
    plan = Plan(profile=profile("quick", ("speed",)), overrides={"death_detection": "heartbeat", "keys": 10})
    told = {(point.settings.target, point.settings.death_detection, point.settings.keys) for point in plan.points}
    assert told == {("own", "heartbeat", 10), ("null", "pidfd", 10), ("zookeeper", "pidfd", 10)}
    assert all(check_settings(point.settings) for point in plan.points)


def test_a_failover_is_watched_by_writes_alone():
    point = find_point("election/3+0/crash")
    assert point is not None
    for wrong in ({"reads": 0.5}, {"cpu_share": 0.1}, {"voters": 2}, {"fault": None}):
        with pytest.raises(SettingsError, match=r"allowed|leave it out"):
            check_failover(msgspec.structs.replace(point.settings, **wrong))
