"""Where the CPU goes, part by part: pyperf benchmarks of what a write and a read pass through."""
