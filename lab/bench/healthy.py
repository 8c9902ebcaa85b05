"""Waiting until everybody serves: the state from which a fault is injected and to which an ensemble must come back."""

import random
import time

from lab.targets.own import OwnTarget
from lab.targets.target import ServerInfo, Target, TargetError

HEALTHY_TIMEOUT_S = 60.0
PAUSE_S = 0.005  # between two looks; they cost every server a message


def wait_until_healthy(target: Target, servers: int, timeout_s: float = HEALTHY_TIMEOUT_S) -> int:
    """Wait until one server leads and all the others follow or observe; returns the leader's id.

    Raises TargetError naming who does not serve.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        found = target.servers()
        leaders = [server.id for server in found if server.role == "leader"]
        if len(leaders) == 1 and len(found) == servers and not _missing(found):
            return leaders[0]
        if time.monotonic() > deadline:
            roles = ", ".join(f"{server.id} {server.role}" for server in found)
            raise TargetError(f"after {timeout_s:g} s not everybody serves again: {roles}")
        time.sleep(PAUSE_S)


def _missing(found: list[ServerInfo]) -> list[int]:
    return [server.id for server in found if server.role == "looking"]


def dwell(tick_ms: int, rng: random.Random) -> None:
    """Stay for one to two ticks, so that faults fall anywhere between two pings, not always right after a recovery."""
    time.sleep(rng.uniform(1.0, 2.0) * tick_ms / 1e3)


def pass_time(target: OwnTarget, seconds: float) -> None:
    """Wait for so long.  Raises TargetError as soon as a server has ended by itself."""
    deadline = time.monotonic() + seconds
    while (left_s := deadline - time.monotonic()) > 0.0:
        target.look_out()
        time.sleep(min(PAUSE_S, left_s))
