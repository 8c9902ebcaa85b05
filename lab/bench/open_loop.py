"""What an open loop asked of a window, what became of it, and whether the generator kept its schedule."""

from collections.abc import Mapping, Sequence

import numpy as np

from lab.bench.arrivals import parse_arrivals
from lab.bench.latency import percentiles
from lab.bench.record import OpenLoop, Percentiles, Settings
from lab.bench.tally import Nanoseconds, column, joined
from lab.client.history import History, Kind, Outcome

REACHED_SHARE = 0.99  # of what was asked: below it the system, or the generator, falls behind
CAUGHT_UP_SHARE = 1.05  # above it what is seen is a backlog from before the window
EDGE_OPERATIONS = 5  # that may be in flight at one end of a window and not at the other
LATE_SHARE = 0.5  # of the 99th percentile of latency: a lag beyond it is what was measured


def open_loop(
    settings: Settings,
    histories: Sequence[History],
    start_ns: int,
    end_ns: int,
    asked: int,
    asked_until_end: int,
    latency_us: Mapping[str, Percentiles],
    cpu_s: float,
) -> OpenLoop:
    """`asked`, `asked_until_end`: operations meant to be sent within the window, and since the set-up until its end."""
    seconds = (end_ns - start_ns) / 1e9
    done, unsent, held, lags = 0, asked_until_end, 0, []
    services: dict[str, list[Nanoseconds]] = {}
    for history in histories:
        actual, intended, until = (column(history, name) for name in ("actual_ns", "sent_ns", "held_ns"))
        ends = column(history, "done_ns")
        within = (actual >= start_ns) & (actual < end_ns)
        lags.append((actual - np.maximum(intended, until))[within])
        held += int(np.count_nonzero((until > intended)[within]))
        unsent -= int(np.count_nonzero(actual < end_ns))
        done += int(np.count_nonzero((ends > 0) & (ends < end_ns)))
        answered = (ends >= start_ns) & (ends < end_ns) & (column(history, "outcome") == Outcome.ACKNOWLEDGED)
        for kind in Kind:
            chosen = answered & (column(history, "kind") == kind)
            services.setdefault(kind.name.lower(), []).append((ends - actual)[chosen])
    lag = joined(lags)
    lag_us = percentiles(np.maximum(lag, 0)) if len(lag) else None
    service_us = {kind: percentiles(each) for kind, parts in services.items() if len(each := joined(parts))}
    slowest_us = max((use.p99 for use in latency_us.values()), default=0.0)
    completed = sum(use.count for use in latency_us.values())
    slack = max(EDGE_OPERATIONS, parse_arrivals(settings.arrivals).at_once)
    return OpenLoop(
        offered=asked,
        offered_per_s=asked / seconds,
        reached=completed + slack >= REACHED_SHARE * asked,
        caught_up=completed - slack > CAUGHT_UP_SHARE * asked,
        backlog=asked_until_end - done,
        unsent=unsent,
        held=held,
        lag_us=lag_us,
        service_us=service_us,
        generator_cpu=cpu_s / seconds / settings.clients,
        generator_late=asked > 0 and (lag_us is None or lag_us.p99 > LATE_SHARE * slowest_us),
    )
