"""How servers ended that nobody stopped: by themselves, which ends the run, or of a disk that was filled on purpose."""

from lab.cluster.errors import ClusterError
from lab.cluster.room import tells_of_no_room


class Endings:
    """The servers that do not run although nobody crashed or stopped them, with their last words."""

    def __init__(self) -> None:
        self._unexpected: dict[int, str] = {}
        self._filled: set[int] = set()  # servers whose disk was full at some time since they started
        self.out_of_room: dict[int, str] = {}  # those of them that ended of it

    def started(self, number: int) -> None:
        """A new incarnation: nothing is known of it."""
        self._unexpected.pop(number, None)
        self.out_of_room.pop(number, None)
        self._filled.discard(number)

    def filled(self, number: int) -> None:
        self._filled.add(number)

    def ended(self, number: int, last_words: str) -> None:
        """Only who was out of room, and says so, may end."""
        expected = number in self._filled and tells_of_no_room(last_words)
        (self.out_of_room if expected else self._unexpected)[number] = last_words

    def how(self, number: int) -> str:
        """` (its last words)`, or nothing."""
        words = self._unexpected.get(number) or self.out_of_room.get(number)
        return f" ({words})" if words else ""

    def check(self) -> None:
        """Raises ClusterError as long as a server that ended by itself has not been started again."""
        if self._unexpected:
            raise ClusterError("; ".join(f"server {number} ended: {how}" for number, how in self._unexpected.items()))
