"""A harness to be ended in every way: `python harness.py exit|exception|wait|frozen[-udp] DATA_DIR`.

Starts three stubs and a CPU budget where that is permitted, prints one JSON line about them, and goes its way.
"""

import json
import signal
import sys
from pathlib import Path

from lab.cluster.spec import spec_of
from lab.cluster.supervisor import Cluster

STUB = (str(Path(__file__).with_name("stub_node.py")),)


def main(way: str, data_dir: str) -> None:
    way, _, transport = way.partition("-")
    links = {"transport": transport} if transport else {}
    spec = spec_of(voters=3, observers=0, limits={}, durability="buffered", data_dir=data_dir, **links)
    with Cluster(spec, server_command=STUB) as cluster:
        budget = cluster.limit_cpu(0.5)
        if way == "frozen":
            cluster.freeze(2)
        addresses = [server.address for server in cluster._servers.values()]
        about = {"pids": cluster.pids(), "folder": str(cluster.folder), "budget": budget, "addresses": addresses}
        sys.stdout.write(json.dumps(about) + "\n")
        sys.stdout.flush()
        if way == "exception":
            raise RuntimeError("the harness has a bug")
        if way in ("wait", "frozen"):
            while True:
                signal.pause()


if __name__ == "__main__":
    main(*sys.argv[1:])
