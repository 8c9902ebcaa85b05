"""The facts of `doctor` in words: what works, and what to do about what does not."""

from lab.cluster.facts import Facts

GOOD_SYNC_US = 2000.0  # above it durability=fsync measures little but the disk
GOOD_SLEEP_US = 500.0
GOOD_BUFFER_BYTES = 4 << 20  # what a fast sender has under way while the receiver is busy for some milliseconds


def checkup_text(facts: Facts) -> str:
    """One line a fact; what is missing or in the way is followed by what to do."""
    lines = []
    for name, fine, found, advice in _checks(facts):
        lines.append(f"{'ok' if fine else 'look':4} {name:12} {found}")
        if not fine:
            lines.append(f"     {'':12} -> {advice}")
    return "\n".join(lines)


def _checks(facts: Facts) -> list[tuple[str, bool, str, str]]:
    """(what, whether it is fine, what was found, what to do if it is not)."""
    return [
        ("cpus", facts.cpus >= 2, f"{facts.cpus} for this process", "results on one CPU show contention; allow two"),
        ("governor", facts.governor in ("performance", "unknown"), facts.governor,
         "clock speed varies with load: `cpupower frequency-set -g performance`, or compare with care"),
        ("eventfd", facts.eventfd, _yes(facts.eventfd), "doorbells fall back to pipes, which cost more; use Linux"),
        ("memfd", facts.memfd, _yes(facts.memfd), "rings fall back to unlinked files in a temporary folder; use Linux"),
        ("pidfd", facts.pidfd, _yes(facts.pidfd), "a peer's death is noticed late: Linux 5.3 or newer has pidfd_open"),
        ("cgroup", facts.cgroup != "none", facts.cgroup,
         f"with --cpu-share a trial runs without a budget and says so ({facts.cgroup_refused}): "
         "run as root or in a delegated cgroup (systemd-run --user --scope -p Delegate=yes)"),
        ("data folder", not facts.data_dir_refused, facts.data_dir,
         f"{facts.data_dir_refused}: choose a folder that you may write to with --data-dir"),
        ("file system", facts.fsync_works, facts.filesystem,
         "fsync does nothing in memory: choose a folder on a disk with --data-dir, or --durability buffered"),
        *_sync_cost(facts),
        ("clock", facts.clock_step_ns <= 1000, f"steps of {facts.clock_step_ns} ns",
         "latencies are no finer than this: check /sys/devices/system/clocksource/clocksource0/current_clocksource"),
        ("timer", facts.sleep_us <= GOOD_SLEEP_US, f"a sleep of 50 us takes {facts.sleep_us:,.0f} us",
         "open-loop load sends late by this much: a busy or virtual machine; look at the reported lag"),
        ("udp", not facts.udp_refused, "works on loopback" if not facts.udp_refused else "does not work on loopback",
         f"{facts.udp_refused}: links over UDP cannot be measured here; look at the firewall and at `ip addr show lo`"),
        *_udp_checks(facts),
        *((name, name not in facts.targets_refused, found, facts.targets_refused.get(name, ""))
          for name, found in facts.targets.items()),
    ]  # fmt: skip


def _sync_cost(facts: Facts) -> list[tuple[str, bool, str, str]]:
    """Nothing of a folder in which nothing could be written."""
    if facts.data_dir_refused:
        return []
    found, advice = f"{facts.fdatasync_us:,.0f} us for 4 KiB", "a slow disk decides every fsync figure: choose a faster"
    return [("fdatasync", facts.fdatasync_us <= GOOD_SYNC_US, found, f"{advice} one with --data-dir")]


def _udp_checks(facts: Facts) -> list[tuple[str, bool, str, str]]:
    """Nothing of a machine without UDP."""
    if facts.udp_refused:
        return []
    least = min(facts.udp_receive_buffer_bytes, facts.udp_send_buffer_bytes)
    offload = f"segmentation {_yes(facts.udp_segmentation)}, coalescing {_yes(facts.udp_coalescing)}"
    return [
        ("udp buffers", least >= GOOD_BUFFER_BYTES,
         f"{facts.udp_receive_buffer_bytes / 2**20:.1f} MiB in, {facts.udp_send_buffer_bytes / 2**20:.1f} MiB out "
         f"(rmem_max {facts.rmem_max:,}, wmem_max {facts.wmem_max:,} bytes)",
         "bursts overflow the socket and are sent again: "
         f"`sysctl -w net.core.rmem_max={GOOD_BUFFER_BYTES} net.core.wmem_max={GOOD_BUFFER_BYTES}`"),
        ("udp offload", facts.udp_segmentation and facts.udp_coalescing, offload,
         "every datagram costs a system call of its own at each end: Linux 4.18 has UDP_SEGMENT, 5.0 UDP_GRO"),
    ]  # fmt: skip


def _yes(there: bool) -> str:
    return "there" if there else "not there"
