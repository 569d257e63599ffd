"""What a client does with files of jobs, as flows: each method of `job.files` is one of these."""

from __future__ import annotations

from typing import Final

from service.client import file_requests as requests
from service.client.bodies import Content
from service.client.calls import call, decoded, opened
from service.client.file_requests import Conditions
from service.client.retrying import Attempts, Policy
from service.client.steps import READ, Emit, Failure, Flow, Nothing, taking
from service.errors import JobrunnerError
from service.jobs.views import FileEntry, FileListing, JobView, Unpacked

_PAGE: Final = 1000
_NO_SUCH_RANGE: Final = 416
_UNKNOWN: Final = 404


def entries(
    policy: Policy, job_id: str, path: str | bytes, *, recursive: bool
) -> Flow[FileEntry, None]:
    """What is in a directory, a page at a time."""
    after: str | None = None
    while True:
        request = requests.list_request(job_id, path, after, _PAGE, recursive=recursive)
        page = decoded((yield from call(policy, request)), FileListing)
        for entry in page.entries:
            yield Emit(entry)
        if not page.next:
            return
        after = page.next


def is_directory(policy: Policy, job_id: str, path: str | bytes) -> Nothing[bool | None]:
    """None: there is nothing at the path."""
    try:
        answer = yield from call(policy, requests.head_request(job_id, path))
    except JobrunnerError as exc:
        if exc.status == _UNKNOWN:  # a HEAD doesn't say of what
            return None
        raise
    headers = {name.lower(): value for name, value in answer.headers.items()}
    return headers.get("content-type", "").startswith("application/json")


def pieces(policy: Policy, job_id: str, path: str | bytes, offset: int) -> Flow[bytes, None]:
    """A file from `offset` on. Where the connection was cut it goes on, with the same version of
    the file. Raises: PreconditionFailed, when there is another one.
    """
    attempts, version = Attempts(policy), None
    while True:
        request = requests.read_request(job_id, path, offset, version)
        try:
            head = yield from opened(request, attempts)
        except JobrunnerError as exc:
            if exc.status == _NO_SUCH_RANGE:
                return  # there is nothing behind it
            raise
        version = head.headers.get("ETag")
        lost = None
        while got := (yield READ):
            if isinstance(got, Failure):
                lost = got
                break
            attempts.progressed()
            offset += len(got)
            yield Emit(got)
        if lost is None:
            return
        yield from attempts.pause(lost, request)


def read(policy: Policy, job_id: str, path: str | bytes, offset: int) -> Nothing[bytes]:
    """The same in one."""
    parts: list[bytes] = []
    yield from taking(pieces(policy, job_id, path, offset), parts.append)
    return b"".join(parts)


def archive(policy: Policy, job_id: str, path: str | bytes, form: str) -> Flow[bytes, None]:
    """A directory as an archive. Raises: ServiceUnreachable, when it is cut: it can't go on."""
    attempts = Attempts(policy)
    request = requests.archive_request(job_id, path, form)
    yield from opened(request, attempts)
    while got := (yield READ):
        if isinstance(got, Failure):
            yield from attempts.pause(got, request)
        yield Emit(got)


def write(
    policy: Policy, job_id: str, path: str | bytes, content: Content, conditions: Conditions
) -> Nothing[FileEntry]:
    """Write a file."""
    request = requests.write_request(job_id, path, content, conditions)
    return decoded((yield from call(policy, request)), FileEntry)


def extract(
    policy: Policy, job_id: str, path: str | bytes, content: Content, form: str
) -> Nothing[int]:
    """How many entries the archive had that is unpacked."""
    request = requests.extract_request(job_id, path, content, form)
    return decoded((yield from call(policy, request)), Unpacked).entries


def delete(policy: Policy, job_id: str, path: str | bytes, *, recursive: bool) -> Nothing[None]:
    """Remove a file, or a directory."""
    yield from call(policy, requests.delete_request(job_id, path, recursive=recursive))


def release(policy: Policy, job_id: str) -> Nothing[JobView]:
    """The job, once it waits for its run slot."""
    return decoded((yield from call(policy, requests.release_request(job_id))), JobView)
