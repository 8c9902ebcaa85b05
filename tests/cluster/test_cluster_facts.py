"""What a machine can do is tried out, and trying it out leaves nothing behind."""

from pathlib import Path

import msgspec

from lab.cluster.facts import gather_facts


def test_facts_are_plain_data_about_the_folder_asked_for(tmp_path: Path) -> None:
    facts = gather_facts(tmp_path)
    assert facts.data_dir == str(tmp_path)
    assert facts.cpus >= 1
    assert facts.clock_step_ns > 0
    assert facts.sleep_us >= 50
    assert facts.fdatasync_us > 0
    assert facts.data_dir_refused == ""
    assert (facts.cgroup == "none") == bool(facts.cgroup_refused)
    assert msgspec.json.decode(msgspec.json.encode(facts), type=type(facts)) == facts
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_does_not_exist_yet_is_judged_by_the_one_above_it(tmp_path: Path) -> None:
    facts = gather_facts(tmp_path / "not" / "yet")
    assert facts.data_dir == str(tmp_path / "not" / "yet")
    assert facts.fdatasync_us > 0
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_takes_no_data_is_told_not_raised() -> None:
    facts = gather_facts(Path("/proc/lab"))
    assert facts.fdatasync_us == 0
    assert facts.data_dir_refused.startswith("/proc: ")
