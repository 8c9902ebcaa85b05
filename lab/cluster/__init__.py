"""An ensemble of OS processes: start, stop, crash, freeze, cut off, restart, and leave nothing behind (DESIGN 3)."""
