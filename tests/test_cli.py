"""The command line as a contract: bad input is one line and exit status 2, stdout is data."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from lab.cli import main
from lab.targets.target import TargetError

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(capsys, *arguments):
    """(status, stdout, stderr) of one command in this process."""
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    out, err = capsys.readouterr()
    return ended.value.code, out, err


BAD = [  # what was typed, what the line must name
    (["trial", "--voters", "0"], ["--voters", "0", "1 to 13"]),
    (["trial", "--voters", "14"], ["--voters", "14", "1 to 13"]),
    (["trial", "--voters", "-1"], ["--voters", "-1"]),
    (["trial", "--voters", "three"], ["--voters", "three", "integer"]),
    (["trial", "--voters", "7", "--observers", "7"], ["--voters 7", "--observers 7", "14 servers", "13"]),
    (["trial", "--observers", "-1"], ["--observers", "-1", "0 to 12"]),
    (["trial", "--voterz", "3"], ["--voterz", "lab trial --help"]),
    (["trial", "extra"], ["extra"]),
    (["trial", "--hosts", "no.toml", "--transport", "udp"], ["no.toml", "No such file"]),
    (["failover", "--hosts", "no.toml", "--transport", "udp"], ["no.toml", "No such file"]),
    (["bench", "--hosts", "no.toml"], ["no.toml", "No such file"]),
    (["bench", "--hosts", "no.toml", "--prototype", __file__], ["--prototype", "--hosts"]),
    (["trial", "--hosts", "no.toml", "--find-max-rate", "--slo", "p99=9ms"], ["--find-max-rate", "--hosts"]),
    (["trial", "--transport", "rdma"], ["--transport", "rdma", "shm", "udp"]),
    (["trial", "--sealed", "yes"], ["--sealed", "shm"]),
    (["trial", "--transport", "udp", "--udp-mtu", "100"], ["--udp-mtu", "100", "576"]),
    (["trial", "--udp-mtu", "9000"], ["--udp-mtu 9000", "shm", "--transport udp"]),
    (["trial", "--target", "etcd"], ["--target", "etcd", "own", "zookeeper"]),
    (["trial", "--durability", "eventual"], ["--durability", "eventual", "fsync", "buffered", "memory"]),
    (["trial", "--attach", "observers"], ["--attach", "observers", "leader"]),
    (["trial", "--attach", "followers", "--voters", "1"], ["--attach", "followers"]),
    (["trial", "--attach", "nobody"], ["--attach", "nobody", "followers"]),
    (["trial", "--reads", "1.5"], ["--reads", "1.5", "0 to 1"]),
    (["trial", "--reads", "nan"], ["--reads", "nan"]),
    (["trial", "--value-bytes", "0"], ["--value-bytes", "0"]),
    (["trial", "--value-bytes", "99999999"], ["--value-bytes", "99999999"]),
    (["trial", "--keys", "0"], ["--keys", "0"]),
    (["trial", "--distribution", "normal"], ["--distribution", "normal", "uniform", "zipf"]),
    (["trial", "--clients", "0"], ["--clients", "0"]),
    (["trial", "--outstanding", "0"], ["--outstanding", "0"]),
    (["trial", "--seconds", "0"], ["--seconds", "0", "more than 0"]),
    (["trial", "--seconds", "inf"], ["--seconds", "inf"]),
    (["trial", "--seconds", "1e12"], ["--seconds", "1000000000000.0", "at most 86,400"]),
    (["trial", "--warmup", "-1"], ["--warmup", "-1"]),
    (["trial", "--rate", "0"], ["--rate", "0"]),
    (["trial", "--rate", "1e300"], ["--rate", "1e+300", "at most 10,000,000"]),
    (["trial", "--rate", "9", "--arrivals", "normal"], ["--arrivals: 'normal'", "poisson", "burst:size=100"]),
    (["trial", "--rate", "9", "--arrivals", "burst:size=0"], ["--arrivals: 'size=0'", "1 to 100000"]),
    (["trial", "--arrivals", "poisson"], ["--arrivals poisson", "--rate"]),
    (["trial", "--find-max-rate"], ["--slo p99=10ms"]),
    (["trial", "--slo", "p99=10ms"], ["--find-max-rate"]),
    (["trial", "--find-max-rate", "--slo", "p98=10ms"], ["--slo", "'p98=10ms'", "p50, p90, p99, p999", "us, ms, s"]),
    (["trial", "--find-max-rate", "--slo", "p99=0ms"], ["--slo", "p99=0ms", "more than 0"]),
    (["trial", "--find-max-rate", "--slo", "p99=1s", "--rate", "0.5"], ["--rate", "0.5", "1 to 10,000,000"]),
    (["trial", "--find-max-rate", "--slo", "p99=1s", "--anatomy"], ["--anatomy", "--find-max-rate"]),
    (["trial", "--find-max-rate", "--slo", "p99=1s", "--arrivals", "burst:size=0"], ["--arrivals", "1 to 100000"]),
    (["trial", "--cpu-share", "0"], ["--cpu-share", "0"]),
    (["trial", "--cpu-share", "1.5"], ["--cpu-share", "1.5", "at most 1"]),
    (["trial", "--cpu-share", "0.0001"], ["--cpu-share", "0.0001", "0.001"]),
    (["trial", "--max-outstanding", "-1"], ["--max-outstanding", "-1"]),
    (["trial", "--batch-txns-max", "0"], ["--batch-txns-max", "0"]),
    (["trial", "--placement", "everywhere"], ["--placement", "everywhere", "free", "leader-alone"]),
    (["trial", "--leader-serves", "no"], ["--attach leader", "--leader-serves no", "followers"]),
    (["trial", "--leader-serves", "no", "--voters", "1", "--attach", "all"], ["--leader-serves", "single", "yes"]),
    (["trial", "--relays", "1"], ["--relays 1", "no observer", "--observers 1"]),
    (["trial", "--observers", "1", "--relays", "3"], ["--relays 3", "below --voters 3"]),
    (["trial", "--observers", "1", "--relays", "-1"], ["--relays", "-1"]),
    (["trial", "--leader-serves", "perhaps"], ["--leader-serves", "perhaps"]),
    (["trial", "--trace", "nowhere/trace.json"], ["nowhere/trace.json", "No such file or directory"]),
    (["trial", "--trace", "results"], ["results", "Is a directory"]),
    (["trial", "--trace", "trace.json", "--reads", "1"], ["--anatomy, --trace", "--reads 1"]),
    (["trial", "--trace", "trace.json", "--target", "null"], ["--anatomy, --trace", "null", "allowed: own"]),
    (["trial", "--target", "null", "--voters", "3"], ["--voters 3", "allowed for the target null: --voters 1"]),
    (["trial", "--target", "null", "--durability", "fsync"], ["--durability", "fsync", "the target null: memory"]),
    (["trial", "--seed", "-1"], ["--seed", "-1"]),
    (["trial", "--seed"], ["--seed"]),
    (["trial", "--workload", "nonsense"], ["nonsense", "read-mostly"]),
    (["trial", "--workload", "missing.toml"], ["missing.toml", "cannot be read"]),
    (["trial", "--workload", "unknown-field.toml"], ["unknown-field.toml", "colour", "allowed"]),
    (["trial", "--workload", "wrong-value.toml"], ["wrong-value.toml", "reads", "2.0"]),
    (["trial", "--workload", "not-toml.toml"], ["not-toml.toml", "not TOML"]),
    (["trial", "--workload", "other.toml"], ["other.toml", "workload", "elections", "read_mix"]),
    (["trial", "--network", "moon"], ["--network", "moon", "lan, oceans"]),
    (["trial", "--network", "unknown-field.toml"], ["unknown-field.toml", "colour", "sites"]),
    (["trial", "--network", "missing.toml"], ["missing.toml", "cannot be read"]),
    (["trial", "--network", "lan", "--loss", "0.1"], ["--network lan", "--loss"]),
    (["trial", "--network", "zones", "--client-sites", "moon"], ["--client-sites", "moon", "zone-1, zone-2, zone-3"]),
    (["trial", "--voter-sites", "zone-1"], ["--voter-sites", "--network"]),
    (["trial", "--loss", "0.95"], ["--loss", "0.95", "0 to 0.9"]),
    (["trial", "--delay-ms", "-1"], ["--delay-ms", "-1"]),
    (["trial", "--delay-ms", "300"], ["--tick-ms 100", "600 ms", "at least 121"]),
    (["trial", "--network", "oceans", "--tick-ms", "20"], ["--tick-ms 20", "tokyo", "233 ms", "at least 47"]),
    (["trial", "--target", "zookeeper", "--loss", "0.1"], ["--loss", "zookeeper"]),
    (["torture", "--network", "moon"], ["--network", "moon"]),
    (["soak", "--loss", "2"], ["--loss", "2"]),
    (["bench", "--network", "moon"], ["--network", "moon"]),
    (["bench", "--delay-ms", "900"], ["--tick-ms 100", "1,800 ms"]),
    (["failover", "--voters", "1"], ["--voters", "1", "3 to 13"]),
    (["failover", "--voters", "2"], ["--voters", "2", "3 to 13"]),
    (["failover", "--fault", "flood"], ["--fault", "flood", "crash", "freeze", "partition"]),
    (["failover", "--repeats", "0"], ["--repeats", "0"]),
    (["failover", "--transport", "rdma"], ["--transport", "rdma"]),
    (["failover", "--seconds", "3"], ["--seconds", "lab failover --help"]),
    (["soak", "--rate", "0"], ["--rate", "0", "at least 0.001"]),
    (["soak", "--workload", "read-mostly"], ["--reads", "soak"]),
    (["soak", "--durability", "memory"], ["--durability", "memory", "fsync", "buffered"]),
    (["torture", "--durability", "memory"], ["--durability", "memory", "fsync", "buffered"]),
    (["torture", "--voters", "2"], ["--voters", "2", "3 to 13"]),
    (["torture", "--observers", "11"], ["--observers 11", "14 servers"]),
    (["torture", "--seconds", "0"], ["--seconds", "0", "more than 0"]),
    (["torture", "--seconds", "nan"], ["--seconds", "nan"]),
    (["torture", "--seed", "-1"], ["--seed", "-1"]),
    (["torture", "--seed", "x"], ["--seed", "x", "integer"]),
    (["torture", "--clients", "0"], ["--clients", "0"]),
    (["torture", "--outstanding", "0"], ["--outstanding", "0"]),
    (["torture", "--rate", "0"], ["--rate", "0"]),
    (["torture", "--reads", "1"], ["--reads", "1", "less than 1"]),
    (["torture", "--workload", "read-only"], ["--reads", "less than 1"]),
    (["torture", "--workload", "nonsense"], ["nonsense", "read-mostly"]),
    (["torture", "--value-bytes", "0"], ["--value-bytes", "0"]),
    (["torture", "--run", "taken"], ["--run", "taken", "exists"]),
    (["torture", "--run", "../outside"], ["--run", "../outside"]),
    (["torture", "--transport", "tcp"], ["--transport", "tcp"]),
    (["bench", "--profile", "huge"], ["--profile", "huge", "smoke", "quick", "full"]),
    (["bench", "--only", "elections"], ["--only", "elections", "election, write-latency, read-scaling"]),
    (["bench", "--only", ""], ["--only"]),
    (["bench", "--run", "../outside"], ["--run", "../outside"]),
    (["bench", "--run", "taken"], ["--run", "taken", "exists"]),
    (["bench", "--workload", "nonsense"], ["nonsense"]),
    (["bench", "--distribution", "normal"], ["--distribution", "normal"]),
    (["report", "nothing"], ["nothing", "no such results folder"]),
    (["report", "empty"], ["empty", "run.json"]),
    (["report"], ["RUN"]),
    (["compare", "taken"], ["1 runs", "A B"]),
    (["compare", "a", "b", "c"], ["3 runs", "A B"]),
    (["compare", "a", "b", "--by", "shape"], ["2 runs", "--by"]),
    (["compare", "taken", "--by", "colour"], ["--by", "colour", "shape"]),
    (["compare", "nothing", "taken"], ["nothing", "no such results folder"]),
    (["compare"], ["RUN"]),
    (["networks", "moon"], ["moon", "lan, oceans", ".toml"]),
    (["networks", "unknown-field.toml"], ["unknown-field.toml", "colour", "sites"]),
    (["dance"], ["dance"]),
    (["--loud"], ["--loud", "lab --help"]),
]


@pytest.mark.parametrize(("arguments", "named"), BAD, ids=[" ".join(arguments) for arguments, _ in BAD])
def test_bad_input_is_one_line(capsys, tmp_path, arguments, named):
    (tmp_path / "results" / "taken").mkdir(parents=True)
    (tmp_path / "results" / "empty").mkdir()
    (tmp_path / "unknown-field.toml").write_text("colour = 'red'\n")
    (tmp_path / "wrong-value.toml").write_text("reads = 2.0\n")
    (tmp_path / "not-toml.toml").write_text("reads: 0.5\n")
    (tmp_path / "other.toml").write_text("workload = 'elections'\n")
    before = sorted(tmp_path.rglob("*"))
    status, out, err = run(capsys, *arguments)
    assert (status, out) == (2, "")
    assert err.startswith("lab: ")
    assert err.count("\n") == 1, err
    for part in named:
        assert part in err
    assert sorted(tmp_path.rglob("*")) == before


def test_without_a_command_help_goes_to_stderr(capsys):
    status, out, err = run(capsys)
    assert (status, out) == (2, "")
    for command in ("bench", "trial", "failover", "compare", "report", "doctor"):
        assert command in err


@pytest.mark.parametrize("command", ["bench", "trial", "failover", "compare", "report", "networks", "doctor"])
def test_every_command_has_help(capsys, command):
    status, out, err = run(capsys, command, "--help")
    assert (status, err) == (0, "")
    assert f"lab {command}" in out


def test_defaults_are_the_documented_ones(capsys):
    text = " ".join(run(capsys, "trial", "--help")[1].split())
    for option, default in {
        "--target": "own", "--voters": "3", "--observers": "0", "--transport": "shm", "--durability": "fsync",
        "--reads": "0.0", "--clients": "1", "--outstanding": "64", "--value-bytes": "100", "--keys": "1000",
        "--seconds": "5.0", "--warmup": "1.0", "--seed": "1", "--attach": "leader", "--rate": "closed loop",
        "--arrivals": "constant",
        "--max-outstanding": "0", "--batch-txns-max": "4096", "--distribution": "uniform", "--death-detection": "pidfd",
    }.items():  # fmt: skip
        described = text.split(f" {option} ", 1)[1].split(" --", 1)[0]
        assert f"[default: {default}]" in described, (option, described)


@pytest.mark.parametrize(("typed", "voters", "durability"), [
    ((), 3, "fsync"),
    (("--target", "null"), 1, "memory"),
    (("--target", "null", "--voters", "1", "--durability", "memory"), 1, "memory"),
])  # fmt: skip
def test_a_target_lends_what_suits_it(capsys, monkeypatch, typed, voters, durability):
    asked = []

    def refuse(settings, **more):
        asked.append((settings.voters, settings.durability))
        raise TargetError("that will do")

    monkeypatch.setattr("lab.bench.trial.trial", refuse)
    assert run(capsys, "trial", *typed) == (2, "", "lab: that will do\n")
    assert asked == [(voters, durability)]


@pytest.mark.parametrize(("typed", "tick_ms"), [
    ((), 100), (("--network", "regions"), 100), (("--network", "oceans"), 300),
    (("--network", "oceans", "--tick-ms", "200"), 200),
])  # fmt: skip
def test_a_network_lends_its_tick_unless_one_is_typed(capsys, monkeypatch, typed, tick_ms):
    asked = []

    def refuse(settings, **more):
        asked.append(settings)
        raise TargetError("that will do")

    monkeypatch.setattr("lab.bench.trial.trial", refuse)
    assert run(capsys, "trial", *typed) == (2, "", "lab: that will do\n")
    assert [settings.tick_ms for settings in asked] == [tick_ms]
    assert bool(asked[0].network_digest) == bool(typed)


def test_links_of_bench_are_those_of_every_point_whose_target_can_be_told(capsys, monkeypatch):
    planned = []

    def refuse(self, plan, *more):
        planned.extend(point.settings for point in plan.points)
        raise TargetError("that will do")

    monkeypatch.setattr("lab.bench.driver.Bench.__init__", refuse)
    typed = ["--network", "zones", "--client-sites", "zone-1", "--transport", "udp"]
    assert run(capsys, "bench", "--profile", "smoke", "--only", "write-latency,election", *typed)[0] == 2
    assert {(s.network, s.client_sites, s.transport, bool(s.network_digest)) for s in planned} == {
        ("zones", "zone-1", "udp", True)
    }


@pytest.mark.parametrize(("error", "line"), [
    (OSError(28, "No space left on device", "/data/log"), "lab: /data/log: No space left on device\n"),
    (PermissionError(13, "Permission denied", "/root/x"), "lab: /root/x: Permission denied\n"),
    (OSError("something"), "lab: something\n"),
])  # fmt: skip
def test_what_the_world_refuses_is_one_line_too(capsys, monkeypatch, error, line):
    def refuse(data_dir):
        raise error

    monkeypatch.setattr("lab.cluster.facts.gather_facts", refuse)
    assert run(capsys, "doctor") == (2, "", line)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_is_one_line_and_the_signals_status(capsys, monkeypatch, number):
    handlers = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    monkeypatch.setattr("lab.cluster.facts.gather_facts", lambda _: signal.raise_signal(number))
    try:
        status, out, err = run(capsys, "doctor")
    finally:
        for each, handler in handlers.items():
            signal.signal(each, handler)
    assert (status, out) == (128 + number, "")
    assert err == f"lab: interrupted by {number.name}; nothing is left running\n"


def test_our_own_bugs_keep_their_traceback(monkeypatch):
    def broken(data_dir):
        raise AssertionError("a bug")

    monkeypatch.setattr("lab.cluster.facts.gather_facts", broken)
    with pytest.raises(AssertionError, match="a bug"):
        main(["doctor"])


def test_results_that_cannot_be_written_are_one_line(capsys, tmp_path):
    (tmp_path / "results").write_text("a file, not a folder")
    status, out, err = run(capsys, "bench", "--profile", "smoke")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "results" in err


@pytest.mark.process
def test_doctor_prints_facts_as_one_line_of_json(capsys):
    status, out, err = run(capsys, "doctor", "--json")
    assert (status, err, out.count("\n")) == (0, "", 1)
    assert {"cpus", "eventfd", "pidfd", "cgroup", "fdatasync_us", "filesystem", "governor"} <= set(orjson.loads(out))


@pytest.mark.process
def test_doctor_says_what_to_do_about_what_is_missing(capsys):
    status, out, err = run(capsys, "doctor", "--data-dir", "/proc/nowhere")
    assert (status, err) == (0, "")
    assert "-> " in out
    assert "choose a folder that you may write to with --data-dir" in out
    assert "fdatasync" not in out, "nothing was written, so nothing is known of its cost"


@pytest.mark.process
def test_doctor_says_how_to_get_a_zookeeper(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("ZOOKEEPER_HOME", str(tmp_path))
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    status, out, err = run(capsys, "doctor")
    assert (status, err) == (0, "")
    assert "look zookeeper    not there\n" in out
    assert "-> zookeeper: no" in out


@pytest.mark.process
def test_python_m_lab_is_lab():
    done = subprocess.run(
        [sys.executable, "-m", "lab", "trial", "--voters", "0"],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "lab: --voters: 0, allowed: 1 to 13\n"


LIGHT = """
import sys
sys.argv = ["lab", "trial", "--help"]
try:
    import lab.__main__ as entry
    entry.main()
except SystemExit:
    print(sorted(set(sys.modules) & {"numpy", "scipy", "matplotlib", "rich", "pyperf", "psutil", "jinja2"}))
"""


@pytest.mark.process
def test_help_loads_nothing_heavy():
    done = subprocess.run(
        [sys.executable, "-c", LIGHT],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "[]"


def test_networks_are_shown_with_their_round_trips_and_sources(capsys, tmp_path):
    status, out, err = run(capsys, "networks")
    assert (status, err) == (0, "")
    for part in ("lan: one data centre", "zones: ", "regions: ", "oceans: ", "round trip, ms", "328", "https://"):
        assert part in out
    path = tmp_path / "mine.toml"
    path.write_text('sites = ["here", "there"]\nevery = { rtt_ms = 12, loss = 0.02 }\nwithin = { rtt_ms = 0.5 }\n')
    assert run(capsys, "networks", str(path)) == (
        0,
        f"{path}\n"
        "  round trip, ms    here   there\n"
        "  here               0.5      12\n"
        "  there               12     0.5\n"
        "  loss 2 %, bandwidth unlimited\n"
        "  voters at here, there; observers at here, there; clients at here, there\n",
        "",
    )
