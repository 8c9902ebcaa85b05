"""What can go wrong inside the protocol; each kind has its own consequence (style: four kinds, kept apart)."""


class ConfigError(ValueError):
    """A setting is out of range or contradicts another one.  The message names the field and what is allowed."""


class ProtocolError(Exception):
    """A peer sent what no correct peer sends here.  Its learner session closes; a learner goes back to LOOKING."""

    def __init__(self, sender: int, reason: str) -> None:
        super().__init__(f"server {sender}: {reason}")
        self.sender = sender
        self.reason = reason


class EpochsUsedUpError(Exception):
    """No epoch is left for a new leader; the process ends (2**31 elections, or a damaged server, lie behind it)."""

    def __init__(self, epoch: int) -> None:
        super().__init__(
            f"epoch {epoch} was accepted and is the last: nobody can lead after it; move the data to a new ensemble"
        )
