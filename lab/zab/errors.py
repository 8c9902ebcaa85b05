"""What can go wrong inside the protocol; each kind has its own consequence (style: four kinds, kept apart)."""


class ConfigError(ValueError):
    """A setting is out of range or contradicts another one.  The message names the field and what is allowed."""


class ProtocolError(Exception):
    """A peer sent what no correct peer sends here.  Its learner session closes; a learner goes back to LOOKING."""

    def __init__(self, sender: int, reason: str) -> None:
        super().__init__(f"server {sender}: {reason}")
        self.sender = sender
        self.reason = reason
