"""A deterministic world for whole servers: virtual clock, links and disks in memory, one seed for everything."""
