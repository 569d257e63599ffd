"""What a person sees of a job with a terminal: an emulator that is fed its output as it comes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pyte
from running import Service


class _Screen(pyte.Screen):
    """One that passes by what vim asks of keyboards: pyte knows no private attributes."""

    def select_graphic_rendition(self, *attributes: int, private: bool = False) -> None:
        if not private:
            super().select_graphic_rendition(*attributes)


class Screen:
    """The terminal of a job. Nothing waits for a time: each look is at more output."""

    def __init__(self, service: Service, job_id: str, chunks: Iterator[bytes], size: Any) -> None:
        self.job_id = job_id
        self._service = service
        self._chunks = chunks
        self._screen = _Screen(size["Cols"], size["Rows"])
        self._stream = pyte.ByteStream(self._screen)

    @property
    def text(self) -> str:
        """Its lines, without blanks at their ends."""
        return "\n".join(line.rstrip() for line in self._screen.display).rstrip()

    @property
    def column(self) -> int:
        """Of the cursor, from 0."""
        column: int = self._screen.cursor.x
        return column

    def until(self, is_seen: str | Callable[[Screen], bool]) -> None:
        """Read on until a text is on the screen, or something is true of it."""
        while not (is_seen in self.text if isinstance(is_seen, str) else is_seen(self)):
            try:
                self._stream.feed(next(self._chunks))
            except StopIteration:
                raise AssertionError(f"{is_seen!r} isn't on the screen:\n{self.text}") from None

    def type(self, keys: str | bytes, *, eof: bool = False) -> None:
        """Press these keys."""
        data = keys.encode() if isinstance(keys, str) else keys
        headers = {"Content-Type": "application/octet-stream"}
        query = {"eof": "true"} if eof else {}
        path = f"/{self.job_id}/stdin"
        answer = self._service.client.post(path, content=data, params=query, headers=headers)
        assert answer.status_code == 200, answer.text

    def resize(self, rows: int, cols: int) -> None:
        """Make it larger or smaller, on both sides."""
        size = {"rows": rows, "cols": cols}
        answer = self._service.client.post(f"/{self.job_id}/resize", params=size)
        assert answer.status_code == 200, answer.text
        self._screen.resize(rows, cols)


@contextmanager
def screen_of(service: Service, job: dict[str, Any] | str, **size: int) -> Iterator[Screen]:
    """A new job in a terminal, which is killed in the end."""
    size = {"Rows": 24, "Cols": 80, **size}
    asked = {"CommandLine": job} if isinstance(job, str) else job
    job_id = service.submit({**asked, "TTY": size})
    try:
        with service.client.stream(
            "GET", f"/{job_id}/attach", params={"format": "bytes"}
        ) as answer:
            assert answer.status_code == 200, answer.read()
            yield Screen(service, job_id, answer.iter_bytes(), size)
    finally:
        service.kill(job_id, grace=0, wait="true")
