"""A file of variables, as systemd reads an EnvironmentFile.

A line is `NAME=value`; blank lines and lines that begin with `#` or `;` are skipped. A value in
single quotes stands for itself; in double quotes a backslash takes the special meaning of a double
quote, a dollar, a grave accent or a backslash. Both may go over several lines. Elsewhere a
backslash takes the meaning of any character, and joins two lines. Nothing is expanded. What systemd
ignores with a warning is an error here. Source: systemd.exec(5), EnvironmentFile=.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

# Bytes of a file: workers get it as one variable, which the kernel bounds by 128 KiB.
MAX_BYTES: Final = 60_000

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BLANKS: Final = " \t\r"
# What a backslash takes the meaning of between double quotes.
_SPECIAL: Final = '"\\`$'


class WrongFile(ValueError):
    """The text says what is wrong, and in which line."""


def parse(data: bytes, reserved: Collection[str] = ()) -> dict[str, str]:
    """The variables of a file with this content, none of which may be a `reserved` one.

    Raises: WrongFile.
    """
    if len(data) > MAX_BYTES:
        raise WrongFile(f"it has {len(data)} bytes, expected at most {MAX_BYTES}")
    try:
        text = data.decode()
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        raise WrongFile(f"line {line} isn't UTF-8") from exc
    for place, char in enumerate(text):
        if char < " " and char not in "\t\n\r":
            line = text.count("\n", 0, place) + 1
            raise WrongFile(f"line {line} has the control character {char!r}")
    return _Scanner(text).variables(reserved)


class _Scanner:
    """`_at` is the next character."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def variables(self, reserved: Collection[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        while self._skip(f"{_BLANKS}\n"):
            if self._text[self._at] in "#;":
                self._until("\n")
                continue
            name = self._name()
            if name in reserved:
                raise self._wrong(f"{name} is set by the service for each command")
            found[name] = self._value()
        return found

    def _name(self) -> str:
        name = self._until("=\n").rstrip(_BLANKS)
        if not self._text.startswith("=", self._at):
            raise self._wrong("expected NAME=value, got no '='")
        if not _NAME.fullmatch(name):
            raise self._wrong(f"expected a variable's name before the '=', got {name[:80]!r}")
        self._at += 1
        return name

    def _value(self) -> str:
        parts: list[str] = []
        while self._skip(_BLANKS) and self._text[self._at] != "\n":
            match self._text[self._at]:
                case "'":
                    parts.append(self._single_quoted())
                case '"':
                    parts.append(self._double_quoted())
                case _:  # up to the end of the line, quotes included
                    parts.append(self._plain())
        return "".join(parts)

    def _plain(self) -> str:
        value, kept = "", 0  # `kept`: up to here no blank is a trailing one
        while self._at < len(self._text) and self._text[self._at] != "\n":
            char = self._take()
            if char == "\\":
                char = self._take()
                value += "" if char == "\n" else char
                kept = len(value)
            else:
                value += char
        return value[:kept] + value[kept:].rstrip(_BLANKS)

    def _single_quoted(self) -> str:
        start = self._at
        self._at += 1
        value = self._until("'")
        self._close("'", start)
        return value

    def _double_quoted(self) -> str:
        start = self._at
        self._at += 1
        value = ""
        while self._at < len(self._text) and self._text[self._at] != '"':
            char = self._take()
            if char == "\\":
                char = self._take()
                if char == "\n":
                    char = ""
                elif char not in _SPECIAL:
                    char = f"\\{char}"
            value += char
        self._close('"', start)
        return value

    def _close(self, quote: str, start: int) -> None:
        if not self._text.startswith(quote, self._at):
            self._at = start
            raise self._wrong(f"the quote {quote} isn't closed")
        self._at += 1

    def _take(self) -> str:
        """The next character; nothing at the end of the file."""
        char = self._text[self._at : self._at + 1]
        self._at += len(char)
        return char

    def _skip(self, chars: str) -> bool:
        """Go on to a character that is none of these; False at the end of the file."""
        while self._at < len(self._text) and self._text[self._at] in chars:
            self._at += 1
        return self._at < len(self._text)

    def _until(self, chars: str) -> str:
        """What comes before the next of these characters, or the end of the file."""
        start = self._at
        while self._at < len(self._text) and self._text[self._at] not in chars:
            self._at += 1
        return self._text[start : self._at]

    def _wrong(self, what: str) -> WrongFile:
        line = self._text.count("\n", 0, self._at) + 1
        return WrongFile(f"line {line}: {what}")
