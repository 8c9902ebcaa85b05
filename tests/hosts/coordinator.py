"""A coordinator to be killed: `python coordinator.py SCHEDULER FOLDER ECHO` prints the pid of its job on host a."""

import signal
import sys

from lab.cluster.host_file import Host, Hosts
from lab.hosts.pool import HostPool

scheduler, folder, echo = sys.argv[1:]
pool = HostPool(Hosts(scheduler, [Host("a", "127.0.0.1")]))
link = pool.open(pool.hosts.host[0])
link.prepare(data_dir=folder)
sys.stdout.write(f"{link.start('job', 'echo', [echo], b'hello').pid}\n")
sys.stdout.flush()
signal.pause()
