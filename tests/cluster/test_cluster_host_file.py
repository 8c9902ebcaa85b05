"""hosts.toml: who goes where, and what is refused with one line."""

from pathlib import Path

import pytest

from lab.cluster.host_file import Host, Hosts, HostsError, Places, check_hosts, place, read_hosts

README = Path(__file__).parents[2] / "README.md"
KEYED = """
scheduler = "tls://10.0.0.1:8786"
key_file = "/home/me/key"
[[host]]
name = "a"
address = "10.0.0.11"
[[host]]
name = "b"
address = "10.0.0.12"
voters = 1
data_dir = "/data"
"""


def three(**more: object) -> Hosts:
    hosts = [Host(name, "127.0.0.1", **more.get(name, {})) for name in "abc"]  # type: ignore[attr-defined]
    return check_hosts(Hosts("tcp://127.0.0.1:8786", hosts))


def test_a_file_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "hosts.toml"
    path.write_text(KEYED)
    hosts = read_hosts(path)
    assert hosts == Hosts(
        "tls://10.0.0.1:8786",
        [Host("a", "10.0.0.11"), Host("b", "10.0.0.12", voters=1, data_dir="/data")],
        key_file="/home/me/key",
    )


def test_the_file_of_the_readme_takes_an_ensemble_as_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "hosts.toml"
    path.write_text(README.read_text().partition("```toml\n# hosts.toml\n")[2].partition("```")[0])
    assert place(read_hosts(path), 3, 0, 1) == Places({1: "a", 2: "b", 3: "a"}, {0: "b"})


@pytest.mark.parametrize(("hosts", "asked", "servers", "clients"), [
    (three(), (3, 0, 1), "abc", "a"),
    (three(), (3, 2, 1), "abcab", "c"),                        # the client goes where there is least
    (three(), (5, 0, 2), "abcab", "ca"),                       # the third host has one server less
    (three(a={"voters": 0}), (3, 0, 1), "bcb", "a"),           # a machine for clients
    (three(a={"voters": 0, "observers": 0}, b={"clients": 0}, c={"clients": 0}), (3, 1, 2), "bcbc", "aa"),
    (three(b={"voters": 0}, c={"voters": 0}), (3, 0, 1), "aaa", "b"),
])  # fmt: skip
def test_processes_go_where_there_are_fewest_and_they_may(hosts, asked, servers, clients) -> None:
    assert place(hosts, *asked) == Places(dict(enumerate(servers, 1)), dict(enumerate(clients)))


def test_more_than_the_hosts_take_is_refused() -> None:
    hosts = three(a={"voters": 1}, b={"voters": 1}, c={"voters": 0})
    with pytest.raises(HostsError, match=r"^\[\[host\]\] voters: the hosts take 2 together, asked for: 3$"):
        place(hosts, 3, 0, 1)


@pytest.mark.parametrize(("old", "new", "told"), [
    ('address = "10.0.0.11"', 'address = "0.0.0.0"', "host a: address: '0.0.0.0', allowed: one address of that host"),
    ('address = "10.0.0.11"', 'address = "::"', "host a: address: '::', allowed: one address of that host"),
    ('address = "10.0.0.11"', 'address = "224.0.0.1"', "allowed: one address of that host"),
    ('address = "10.0.0.11"', 'address = "node1"', "host a: address: 'node1', allowed: an IP address"),
    ('address = "10.0.0.11"', 'address = "10.0.0.12"', "address: '10.0.0.12' stands there twice"),
    ('name = "a"', 'name = "b"', "name: 'b' stands there twice"),
    ('name = "a"', 'name = "a b"', "name: 'a b', allowed: letters"),
    ('key_file = "/home/me/key"', "", "host a: address: '10.0.0.11' is beyond loopback, .*: name a key_file"),
    ("tls://10.0.0.1:8786", "tcp://10.0.0.1:8786", "is not encrypted and not of this machine, allowed: tls://"),
    ("tls://10.0.0.1:8786", "tcp://localhost:8786", "is not encrypted and not of this machine"),
    ("tls://10.0.0.1:8786", "10.0.0.1:8786", "allowed: tcp://127.0.0.1:8786 or tls://HOST:PORT"),
    ("voters = 1", "voters = -1", r"Expected `int` >= 0 - at `\$.host\[1\].voters`"),
    ("voters = 1", "watchers = 1", "unknown field `watchers`"),
    ("[[host]]", "[host]", "Cannot declare|Cannot overwrite|Expected"),
    ("voters = 1", "voters = ", "Invalid value"),
])  # fmt: skip
def test_what_cannot_be_meant_is_one_line_that_names_file_and_field(tmp_path, old, new, told) -> None:
    path = tmp_path / "hosts.toml"
    path.write_text(KEYED.replace(old, new))
    with pytest.raises(HostsError, match=told) as refused:
        read_hosts(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert "\n" not in str(refused.value)


def test_a_file_that_is_missing_or_too_large_is_named(tmp_path: Path) -> None:
    with pytest.raises(HostsError, match="missing: No such file"):
        read_hosts(tmp_path / "missing")
    large = tmp_path / "large"
    large.write_bytes(bytes(2 << 20))
    with pytest.raises(HostsError, match="no list of hosts"):
        read_hosts(large)


def test_an_unencrypted_scheduler_elsewhere_is_possible_if_it_is_said(tmp_path: Path) -> None:
    path = tmp_path / "hosts.toml"
    path.write_text("insecure_dask = true\n" + KEYED.replace("tls://", "tcp://"))
    assert read_hosts(path).insecure_dask


def test_a_host_without_an_address_is_where_its_worker_is(tmp_path: Path) -> None:
    path = tmp_path / "hosts.toml"
    path.write_text('scheduler = "tcp://127.0.0.1:8786"\n[[host]]\nname = "a"\n[[host]]\nname = "b"\n')
    assert [host.address for host in read_hosts(path).host] == ["", ""]


def test_no_hosts_are_no_experiment() -> None:
    with pytest.raises(HostsError, match="0 of them"):
        check_hosts(Hosts("tcp://127.0.0.1:1", []))
