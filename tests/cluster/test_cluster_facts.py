"""What a machine can do is tried out, and trying it out leaves nothing behind."""

from pathlib import Path

import msgspec
import pytest

from lab.cluster.advice import checkup_text
from lab.cluster.facts import gather_facts
from lab.transport import udp


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


def test_udp_is_tried_out_on_loopback(tmp_path: Path) -> None:
    facts = gather_facts(tmp_path)
    assert facts.udp_refused == ""
    assert facts.udp_receive_buffer_bytes > 0
    assert facts.udp_send_buffer_bytes > 0
    assert "ok   udp          works on loopback" in checkup_text(facts)


def test_udp_without_offload_and_with_small_buffers_is_told_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(udp, "_ask", lambda *_: False)
    monkeypatch.setattr(udp, "BUFFER_BYTES", 100_000)
    facts = gather_facts(tmp_path)
    assert (facts.udp_segmentation, facts.udp_coalescing) == (False, False)
    said = checkup_text(facts)
    assert "look udp offload  segmentation not there, coalescing not there" in said
    assert "sysctl -w net.core.rmem_max=4194304 net.core.wmem_max=4194304" in said


def test_machine_without_udp_is_told_not_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(host: str, port: int = 0) -> None:
        raise OSError(99, "Cannot assign requested address")

    monkeypatch.setattr("lab.cluster.facts.bind_udp", refuse)
    facts = gather_facts(tmp_path)
    assert facts.udp_refused == "127.0.0.1: Cannot assign requested address"
    said = checkup_text(facts)
    assert "look udp          does not work on loopback" in said
    assert "udp buffers" not in said
