"""The harness's end of the janitor: tell it what the run owns, and let it know that the run is over."""

import os

from lab.cluster.cleanup import Estate, path_record, process_record
from lab.cluster.errors import ClusterError
from lab.cluster.process import Child, start_child
from lab.cluster.run_folder import RunFolder

END_TIMEOUT_S = 30.0  # more than the janitor gives itself


class Janitor:
    """Everything that the run owns is told here at once, and written into the run folder for a sweep.

    Starts the janitor process: make it before anything that it is to end.  `finish` ends it and the run.
    """

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._estate = Estate()
        read_fd, self._write_fd = os.pipe()
        try:
            self._child: Child = start_child(
                ("-m", "lab.cluster.janitor"), read_fd, folder.log_file("janitor"), own_session=True
            )
        except BaseException:
            os.close(self._write_fd)
            raise
        finally:
            os.close(read_fd)
        self._tell(folder.records())

    def owns_process(self, pid: int) -> None:
        record = process_record(pid)
        self._folder.note(record)
        self._tell(record)

    def owns_group(self, path: str) -> None:
        """A control group; call it before the group is made.  An outer one goes before those inside it."""
        record = path_record("group", path)
        self._folder.note(record)
        self._tell(record)

    def _tell(self, record: bytes) -> None:
        self._estate.read(record)
        try:
            os.write(self._write_fd, record)
        except BrokenPipeError as error:
            raise ClusterError(f"the janitor process has ended too early: {self._child.last_words()}") from error

    def finish(self) -> None:
        """End and remove what is left of the run, its folder included, and see the janitor off.

        Raises ClusterError naming whatever could not be ended or removed.
        """
        self._folder.release()
        os.close(self._write_fd)
        try:
            if not self._child.wait(END_TIMEOUT_S):
                self._child.kill(END_TIMEOUT_S)
        finally:
            self._child.close()
        if left := self._estate.clear(END_TIMEOUT_S):  # whatever became of the janitor; after its work there is nothing
            raise ClusterError(f"could not clean up after the run: {'; '.join(left)}")
