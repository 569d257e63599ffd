"""`job.files`: the files of a job, with blocking calls."""

from __future__ import annotations

from service.client import file_flows as flows
from service.client.bodies import Content
from service.client.endpoint import JobOf
from service.client.file_requests import Conditions
from service.client.results import OutputBytes
from service.client.sync_rim import Connections, Reading, run
from service.jobs.views import FileEntry


class Files:
    """The files of a job: `job.files`. A path is relative to the job's directory: text or bytes.

    The directory is there before, during and after the run, until the job is cleaned.
    """

    def __init__(self, job: JobOf[Connections]) -> None:
        self._id = job.id
        self._policy = job._policy  # noqa: SLF001 - one thing in two classes
        self._connections = job._connections  # noqa: SLF001 - the same

    def list(self, path: str | bytes = "", *, recursive: bool = False) -> Reading[FileEntry]:
        """What is in a directory, by name; with `recursive` what is below it, too.

        >>> [(entry.name, entry.size) for entry in held.files.list("in")]
        [('a.txt', 6)]

        Raises: UnknownFile, WrongFileType, FileForbidden.
        """
        flow = flows.entries(self._policy, self._id, path, recursive=recursive)
        return Reading(self._connections, flow)

    def is_directory(self, path: str | bytes) -> bool | None:
        """None: there is nothing."""
        return run(self._connections, flows.is_directory(self._policy, self._id, path))

    def read(self, path: str | bytes, *, offset: int = 0) -> OutputBytes:
        """A file, from `offset` on; `.text` is it as text. Raises: as `stream`."""
        flow = flows.read(self._policy, self._id, path, offset)
        return OutputBytes(run(self._connections, flow))

    def stream(self, path: str | bytes, *, offset: int = 0) -> Reading[bytes]:
        """The same in pieces. A download that is cut goes on by itself.

        Raises: UnknownFile, WrongFileType, FileForbidden; PreconditionFailed, when the file was
            changed before a cut download could go on.
        """
        return Reading(self._connections, flows.pieces(self._policy, self._id, path, offset))

    def write(
        self,
        path: str | bytes,
        content: Content,
        *,
        mode: int | None = None,
        if_match: str | None = None,
        only_new: bool = False,
    ) -> FileEntry:
        r"""Write a file, and the directories above it: bytes, an open file, or pieces.

        The job sees the file when all of it is there. `if_match` is the ETag of the version to
        replace; with `only_new` nothing is replaced.

        >>> held = client.submit({"CommandLine": "cat in/a.txt", "Hold": True})
        >>> held.files.write("in/a.txt", b"hello\n").size
        6
        >>> held.files.read("in/a.txt").text
        'hello\n'
        >>> held.release().hold
        False
        >>> held.wait().exit_code
        0

        Raises: FileForbidden, WrongFileType, PreconditionFailed, InsufficientStorage.
        """
        conditions = Conditions(mode=mode, if_match=if_match, only_new=only_new)
        flow = flows.write(self._policy, self._id, path, content, conditions)
        return run(self._connections, flow)

    def delete(self, path: str | bytes, *, recursive: bool = False) -> None:
        """Remove a file, or a directory: an empty one, or with `recursive` all that is in it.

        Raises: UnknownFile, DirectoryNotEmpty, FileForbidden.
        """
        flow = flows.delete(self._policy, self._id, path, recursive=recursive)
        run(self._connections, flow)

    def archive(self, path: str | bytes = "", *, form: str = "tar") -> Reading[bytes]:
        """A directory as `tar`, `tar.gz` or `zip`, in pieces.

        Raises: UnknownFile, WrongFileType; ServiceUnreachable, when it was cut, also because
            something in it can't be read.
        """
        return Reading(self._connections, flows.archive(self._policy, self._id, path, form))

    def extract(self, content: Content, path: str | bytes = "", *, form: str = "tar") -> int:
        """Unpack a `tar` or `tar.gz` into a directory; how many entries it had.

        Raises: BadArchive, also for entries that lead out of the job's directory; FileForbidden.
        """
        flow = flows.extract(self._policy, self._id, path, content, form)
        return run(self._connections, flow)
