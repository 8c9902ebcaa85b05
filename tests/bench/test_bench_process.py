"""Signals, parents, machines, waiting."""

import io
import os
import signal
import subprocess
import sys

import pytest
from bench_fakes import ENVIRONMENT, ROOT

from lab.bench.bar import Bar, _Left
from lab.bench.healthy import wait_until_healthy
from lab.bench.lifeline import Interrupted, interruptible
from lab.bench.machine import describe_commit, describe_filesystem, describe_machine
from lab.bench.progress import Lines, duration_text
from lab.targets.target import ServerInfo, TargetError


def work_until_signal(number, cleaned):
    with interruptible():
        try:
            signal.raise_signal(number)
        finally:
            for again in (signal.SIGINT, signal.SIGTERM):
                signal.raise_signal(again)
            cleaned.append(True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_starts_the_clean_up_and_later_ones_do_not_disturb_it(number):
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    cleaned = []
    try:
        with pytest.raises(Interrupted) as caught:
            work_until_signal(number, cleaned)
        signal.raise_signal(signal.SIGINT)  # what follows is the end of the process
    finally:
        for n, handler in before.items():
            signal.signal(n, handler)
    assert (cleaned, caught.value.status) == ([True], 128 + number)


def test_handlers_are_put_back_when_nothing_happened():
    before = signal.getsignal(signal.SIGTERM)
    with interruptible():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


ORPHAN = "from lab.bench.lifeline import die_with_parent; die_with_parent({}); print('alive')"


@pytest.mark.process
@pytest.mark.parametrize(("parent", "printed"), [("__import__('os').getppid()", "alive\n"), ("1 << 30", "")])
def test_a_process_whose_parent_is_gone_leaves_at_once(parent, printed):
    done = subprocess.run(
        [sys.executable, "-c", ORPHAN.format(parent)], env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.stdout == printed
    assert done.returncode == (0 if printed else 1)


def test_a_machine_is_the_same_machine_a_moment_later(tmp_path):
    one, two = describe_machine(tmp_path), describe_machine(tmp_path / "not" / "there" / "yet")
    assert one.id == two.id
    assert len(one.id) == 12
    assert one.cores == len(os.sched_getaffinity(0))
    assert one.cgroup in ("v1", "v2", "none")
    assert {"lab", "msgspec", "pyperf"} <= set(one.versions)
    assert "none" not in one.versions.values()


def test_the_file_system_names_its_type(tmp_path):
    assert " on " in describe_filesystem(tmp_path)
    assert describe_filesystem(tmp_path.__class__("/proc")).startswith("proc")


def git(folder, *arguments):
    subprocess.run(
        ["git", "-C", folder, "-c", "user.name=x", "-c", "user.email=x@example.org", *arguments],
        check=True, capture_output=True,
    )  # fmt: skip


def test_a_commit_is_named_only_where_the_code_comes_from_it(tmp_path):
    package = tmp_path / "lab"
    package.mkdir()
    (package / "__init__.py").write_text("here = 1\n")
    assert describe_commit(package) == ("unknown", False)  # no checkout at all
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    commit, dirty = describe_commit(package)
    assert (len(commit), dirty) == (40, False)
    (package / "new.py").write_text("")
    assert describe_commit(package) == (commit, True)
    installed = tmp_path / ".venv" / "lab"
    installed.mkdir(parents=True)
    (installed / "__init__.py").write_text("here = 2\n")
    assert describe_commit(installed) == ("unknown", False)  # another version, installed inside the checkout


def test_without_git_there_is_no_commit(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert describe_commit(ROOT / "lab") == ("unknown", False)


class Roles:
    """A target whose servers have these roles, one list per look; the last stays."""

    def __init__(self, *looks):
        self.looks = [[ServerInfo(number, role) for number, role in enumerate(look.split(), 1)] for look in looks]

    def servers(self):
        return self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]


def test_healthy_is_one_leader_and_nobody_looking():
    target = Roles("looking looking looking", "leader follower looking", "leader leader follower",
                   "leader follower", "follower leader observer")  # fmt: skip
    assert wait_until_healthy(target, 3) == 2
    assert len(target.looks) == 1


def test_who_does_not_come_back_is_named():
    with pytest.raises(TargetError, match="1 leader, 2 looking, 3 observer"):
        wait_until_healthy(Roles("leader looking observer"), 3, timeout_s=0.0)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (7.4, "0:07"), (187, "3:07"), (3750, "1:02:30"), (-3, "0:00")]
)
def test_durations(seconds, text):
    assert duration_text(seconds) == text


def test_plain_lines_say_how_far_and_how_long_still():
    stream = io.StringIO()
    with Lines(stream) as lines:
        lines.doing("round 1/3  reads/3+0", 0.25, 187)
        lines.note("reads/3+0: fine")
    assert stream.getvalue() == " 25%     3:07 left  round 1/3  reads/3+0\nreads/3+0: fine\n"


def test_a_bar_counts_down_between_two_reports(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("lab.bench.bar.time.monotonic", lambda: now[0])
    shown = Bar()
    [task], [left] = shown._progress.tasks, [c for c in shown._progress.columns if isinstance(c, _Left)]
    assert left.render(task).plain == ""
    shown.doing("measuring", 0.5, 10.0)
    now[0] += 4.0
    assert left.render(task).plain == "0:06 left"
    assert (task.description, task.percentage) == ("measuring", 50.0)
