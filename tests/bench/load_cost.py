"""What a load process itself costs: against a server that does nothing but answer, in microseconds of CPU.

    PYTHONPATH=.:tests/client python tests/bench/load_cost.py [--outstanding 256] [--reads 0.0] [--batch 0]

The server runs in this process, the load in its own.  `--batch N` makes the server collect N requests before it
answers, as an ensemble that commits in batches does.  Run by hand; nothing asserts the result.
"""

import argparse
import tempfile
from pathlib import Path

from fake_ensemble import FakeEnsemble, ServerLink

from lab.bench.latency import percentiles
from lab.bench.loaders import Loaders
from lab.bench.record import Settings
from lab.bench.tally import completed
from lab.service.requests import Connect, Data, Done, GetData, decode_requests, encode_frame
from workloads.kinds.read_mix import ReadMix


class NullServer(FakeEnsemble):
    """Answers at once and keeps nothing."""

    def __init__(self, batch: int) -> None:
        self._batch, self._waiting, self._value = batch, [], bytes(100)
        super().__init__(1)

    def _on_frame(self, link: ServerLink, frame: bytes) -> None:
        requests = decode_requests(frame)
        if isinstance(requests[0], Connect):
            super()._on_frame(link, frame)
            return
        waiting = self._waiting
        waiting += requests
        if len(waiting) >= self._batch or len(requests) == 1:
            zxid, value = self.zxid, self._value
            self.zxid = zxid + len(waiting)
            replies = [
                Data(request.cxid, zxid + i, zxid, 1, value)
                if type(request) is GetData
                else Done(request.cxid, zxid + i, 1)
                for i, request in enumerate(waiting, 1)
            ]
            waiting.clear()
            assert link.channel.send(encode_frame(replies))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--outstanding", type=int, default=256)
    parser.add_argument("--reads", type=float, default=0.0)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--batch", type=int, default=0)
    parser.add_argument("--rate", type=float)
    parser.add_argument("--arrivals", default="constant")
    options = parser.parse_args()
    settings = Settings(
        outstanding=options.outstanding, reads=options.reads, rate=options.rate, arrivals=options.arrivals
    )
    with NullServer(options.batch) as server, tempfile.TemporaryDirectory() as folder:
        load = Loaders(settings, ReadMix(reads=options.reads), [server.connector(0, [1])], Path(folder), 1)
        try:
            load.start()
            load.setup()
            load.warm(0.3)
            window = load.run(options.seconds)
            histories = load.finish()
        finally:
            load.close()
    done = completed(histories, window.start_ns, window.end_ns)
    count = sum(len(latencies) for latencies, _ in done.values())
    for kind, (latencies, _) in done.items():
        if len(latencies):
            print(kind.name.lower(), percentiles(latencies))  # noqa: T201
    seconds = (window.end_ns - window.start_ns) / 1e9
    print(  # noqa: T201
        f"{count / seconds:,.0f} operations/s, load process {window.cpu_s / count * 1e6:.2f} us CPU each, "
        f"{window.cpu_s / seconds:.0%} of a CPU"
    )


if __name__ == "__main__":
    main()
