"""One module per workload; each defines WORKLOAD."""
