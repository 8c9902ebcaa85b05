"""Several machines, through dask.distributed: whoever runs a Dask cluster has hosts for experiments (extra `hosts`).

Dask brings an agent (`lab.cluster.agent`) to each host and carries its bytes, nothing else: no measured byte passes it.
"""
