"""What several hosts make of the settings of a trial, and what they cannot do."""

import msgspec
import pytest

from lab.bench.limits import SettingsError
from lab.bench.record import Settings
from lab.cluster.host_file import Host, Hosts, HostsError
from lab.hosts.ensemble import overruled, settings_on

HOSTS = Hosts("tcp://127.0.0.1:1", [Host(name, "127.0.0.1") for name in "abc"])
UDP = Settings(transport="udp", observers=1)


def test_settings_say_who_runs_where_and_that_silence_tells_of_an_end() -> None:
    found = settings_on(HOSTS, UDP)
    assert found.hosts == "a: 1, 4; b: 2, client 0; c: 3"
    assert (found.death_detection, found.sealed) == ("heartbeat", False)


def test_links_carry_tags_where_there_is_a_key() -> None:
    assert settings_on(msgspec.structs.replace(HOSTS, key_file="/key"), UDP).sealed


def test_what_was_typed_and_is_not_so_is_said() -> None:
    keyed = msgspec.structs.replace(HOSTS, key_file="/key")
    made = settings_on(keyed, UDP)
    assert overruled(UDP, made, {"sealed", "death_detection"}) == [
        "--sealed: True in the place of False: there is a key_file, and datagrams between hosts carry tags of its key",
        "--death-detection: heartbeat in the place of pidfd: nobody sees a process of another machine end",
    ]
    assert overruled(UDP, made, {"voters"}) == [], "nobody asked for anything else"
    assert overruled(made, made, {"sealed", "death_detection"}) == [], "it is as it was typed"


@pytest.mark.parametrize(("changed", "told"), [
    ({"sealed": True}, "--sealed: True, allowed with --hosts: False without a key_file in the hosts' file"),
    ({"transport": "shm"}, "--transport: 'shm', allowed with --hosts: 'udp'"),
    ({"target": "null", "voters": 1, "observers": 0, "durability": "memory"}, "--target: 'null', allowed with --hosts"),
    ({"placement": "spread"}, "--placement: 'spread', allowed with --hosts: 'free'"),
    ({"cpu_share": 0.5}, "--cpu-share: 0.5, allowed with --hosts: None"),
    ({"anatomy": True}, "--anatomy: True, allowed with --hosts: False"),
    ({"voters": 2, "fault": "crash"}, "--voters: 2, allowed for a failover"),
])  # fmt: skip
def test_what_several_hosts_cannot_do_is_one_line(changed, told) -> None:
    with pytest.raises(SettingsError, match=told):
        settings_on(HOSTS, msgspec.structs.replace(UDP, **changed))


def test_more_than_the_hosts_take_is_refused() -> None:
    one = msgspec.structs.replace(HOSTS, host=[Host("a", "127.0.0.1", voters=1)])
    with pytest.raises(HostsError, match="the hosts take 1 together, asked for: 3"):
        settings_on(one, UDP)
