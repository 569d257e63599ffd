"""Secrets that the suite handles, and the search for them in all that a service leaves behind.

Every service that a test starts gets a variable that is nobody's business, and is watched for the
tokens and the environment values that it is sent; when it has ended, its log lines and its files
are searched for them.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import httpx
import msgspec

# In the service's own environment: nothing that it writes has any use for it.
CANARY = {"A_VARIABLE_OF_THE_SERVICE": "canary-5a0d2f6c9b7e4e61"}
_TOKEN = re.compile(rb"jr_[0-9a-f]{12}_[A-Za-z0-9_-]{43}")
# A value that is shorter, or one word, may stand in a line for other reasons.
_MIN_CHARS = 12
_TELLING = re.compile(r"(?=.*\d)(?=.*[A-Za-z])[\w-]+")


class Secrets:
    """What was sent to one service that it must keep to itself."""

    def __init__(self) -> None:
        self._values: set[bytes] = set()

    def remember(self, request: httpx.Request) -> None:
        """The environment values of a submission; for `event_hooks` of a client."""
        if request.method != "POST" or not isinstance(request.stream, httpx.ByteStream):
            return
        try:
            body = msgspec.json.decode(request.content)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        for value in _environment_values(body):
            if len(value) >= _MIN_CHARS and _TELLING.fullmatch(value):
                self._values.add(value.encode())

    def assert_kept(self, state_dir: Path, lines: Iterable[str]) -> None:
        """None is in the log, nor in a file that has no business with it: no token and nothing of
        the service's own environment anywhere, no job's environment but in the records.
        """
        log = "\n".join(lines).encode()
        _assert_without(log, "the log", [*self._values, *_of_the_service()])
        for path in state_dir.rglob("*"):
            if path.is_symlink() or not path.is_file() or not path.stat().st_size:
                continue
            is_told_to_all = path.suffix == ".log"
            secrets = [*(self._values if is_told_to_all else ()), *_of_the_service()]
            with path.open("rb") as file:
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                    # What a job does with its own files and output is the job's own.
                    is_the_jobs = path.relative_to(state_dir).parts[0] in ("jobs", "logs")
                    _assert_without(content, str(path), secrets, tokens=not is_the_jobs)


def _of_the_service() -> list[bytes]:
    return [value.encode() for value in CANARY.values()]


def _assert_without(
    content: bytes | mmap.mmap, where: str, secrets: Iterable[bytes], *, tokens: bool = True
) -> None:
    told = [secret for secret in secrets if content.find(secret) >= 0]
    assert not told, f"{told} in {where}"
    assert not (tokens and _TOKEN.search(content)), f"a token in {where}"


def _environment_values(body: object) -> Iterator[str]:
    if not isinstance(body, dict):
        return
    commands = body.get("Commands")
    for holder in (body, *(commands if isinstance(commands, list) else ())):
        environment = holder.get("Environment") if isinstance(holder, dict) else None
        if isinstance(environment, dict):
            yield from (value for value in environment.values() if isinstance(value, str))
