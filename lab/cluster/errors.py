"""What the outside world refused an ensemble of processes."""


class ClusterError(RuntimeError):
    """A process, folder or control group did not do what was asked: one line that names it and the next step."""
