"""Readers of settings: from the text of a variable to a value. Each raises ValueError for any other
text, some also OverflowError or RuntimeError.
"""

from __future__ import annotations

import grp
import json
import os
import pwd
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from service.settings.environment_file import WrongFile, parse
from service.settings.values import JobEnvironment, Percentage, RunAs

_ORIGIN: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?|\[[0-9a-f:.]+\])"
    r"(?::(?P<port>[0-9]{1,5}))?"
)


def integer(low: int, high: int) -> Callable[[str], int]:
    """A whole number in decimal digits within these bounds."""

    def read(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not low <= (value := int(text)) <= high:
            raise ValueError(text)
        return value

    return read


def zero_or_at_least(low: int) -> Callable[[str], int]:
    """A whole number, 0 or no less than `low`."""
    any_integer = integer(0, 2**63 - 1)

    def read(text: str) -> int:
        if 0 < (value := any_integer(text)) < low:
            raise ValueError(text)
        return value

    return read


def number(low: float, high: float) -> Callable[[str], float]:
    """A number within these bounds."""

    def read(text: str) -> float:
        if not low <= (value := float(text)) <= high:  # a NaN is in no range
            raise ValueError(text)
        return value

    return read


def processors_or_off(text: str) -> float:
    """A number of processors, 0 or no less than one hundredth."""
    value = number(0, 100_000)(text)
    if 0 < value < 0.01:
        raise ValueError(text)
    return value


def bytes_or_percentage(text: str) -> int | Percentage:
    """A whole number, or a percentage of the file system."""
    if text.endswith("%"):
        return Percentage(integer(1, 100)(text[:-1]))
    return integer(0, 1 << 60)(text)


def hostname(text: str) -> str:
    """A host name or an address."""
    if any(c.isspace() or c in "/@" for c in text):
        raise ValueError(text)
    return text


def absolute_path(text: str) -> Path:
    """A path from the root; `~` is a home directory."""
    path = Path(text).expanduser()
    if not path.is_absolute() or "\0" in text:
        raise ValueError(text)
    return path


# Bytes of the longest path of a Unix socket. Source: unix(7), sun_path, which ends with a NUL.
MAX_SOCKET_PATH_BYTES: Final = 107


def socket_path(text: str) -> Path | None:
    """The absolute path of a Unix socket, which need not exist."""
    if not text:
        return None
    path = absolute_path(text)
    if not path.name or len(os.fsencode(path)) > MAX_SOCKET_PATH_BYTES:
        raise ValueError(text)
    return path


def file_mode_or_none(text: str) -> int | None:
    """The rights of owner, group and others, in octal digits."""
    if not text:
        return None
    if not re.fullmatch("0?[0-7]{3}", text):
        raise ValueError(text)
    return int(text, 8)


def group(text: str) -> int | None:
    """A group of this host, by name or number."""
    if not text:
        return None
    try:
        found = grp.getgrgid(int(text)) if text.isdecimal() else grp.getgrnam(text)
    except KeyError as exc:
        raise ValueError(text) from exc
    return found.gr_gid


def host_names(text: str) -> frozenset[str]:
    """Host names with commas between, in lower case, without brackets."""
    names = [name.strip().lower() for name in text.split(",")]
    if text and any(not name or any(c.isspace() or c in "/@" for c in name) for name in names):
        raise ValueError(text)
    return frozenset(name.strip("[]") for name in names if name)


def origins(text: str) -> frozenset[str]:
    """Origins with commas between, as browsers serialize them. Source: RFC 6454, section 6.2."""
    return frozenset(_origin(part.strip()) for part in text.split(",")) if text else frozenset()


def _origin(text: str) -> str:
    if not (match := _ORIGIN.fullmatch(text.lower())):
        raise ValueError(text)
    port = match["port"] or ""
    if port:
        integer(1, 65535)(port)
    is_default = port == ("80" if match["scheme"] == "http" else "443")
    return f"{match['scheme']}://{match['host']}" + (f":{port}" if port and not is_default else "")


def path_prefix(text: str) -> str:
    """The path of a URL, in characters that nobody encodes, or nothing. Source: RFC 3986, 2.3."""
    if re.fullmatch(r"(/(?!\.\.?(/|$))[A-Za-z0-9._~-]+)*", text) is None:
        raise ValueError(text)
    return text


def file_or_none(text: str) -> Path | None:
    """The absolute path of a file that there is."""
    if not text:
        return None
    if not (path := absolute_path(text)).is_file():
        raise ValueError(text)
    return path


def program(text: str) -> str:
    """A program's name, or its absolute path."""
    if not text.strip() or "\0" in text or ("/" in text and not text.startswith("/")):
        raise ValueError(text)
    return text


def user_name(text: str) -> str:
    """A user, or a user and a group, that need not exist here."""
    if text and not re.fullmatch(
        r"[A-Za-z0-9_][A-Za-z0-9_.-]*(?::[A-Za-z0-9_][A-Za-z0-9_.-]*)?", text
    ):
        raise ValueError(text)
    return text


def run_as(text: str) -> RunAs | None:
    """A user of this host other than root, for a process of root."""
    name, _, group = user_name(text).partition(":")
    if not name:
        return None
    try:
        user = pwd.getpwuid(int(name)) if name.isdigit() else pwd.getpwnam(name)
        gid = user.pw_gid
        if group:
            gid = int(group) if group.isdigit() else grp.getgrnam(group).gr_gid
    except KeyError as exc:
        raise ValueError(text) from exc
    if os.geteuid() != 0 or not user.pw_uid:
        raise ValueError(text)
    # A group that is named is the only one.
    groups = () if group else tuple(sorted({*os.getgrouplist(user.pw_name, gid)} - {gid}))
    return RunAs(user.pw_name, user.pw_uid, gid, user.pw_dir, groups)


# Set for each command; of a service that runs as a job of another one they are no settings.
OF_JOBS: Final = frozenset({"JOBRUNNER_JOB_ID", "JOBRUNNER_COMMAND", "JOBRUNNER_STATE"})


def job_environment(text: str) -> JobEnvironment:
    """The variables in a file, or those that another process of the service has read from it."""
    if not text:
        return JobEnvironment()
    if text.startswith("{"):  # no path does
        return JobEnvironment(**json.loads(text))
    path = absolute_path(text)
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise WrongFile(os.strerror(exc.errno or 0)) from exc
    return JobEnvironment(str(path), parse(data, OF_JOBS))


# As Docker names them.
NETWORK_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9_.:-]*"


def network_name(text: str) -> str:
    """A network as Docker names it."""
    if not re.fullmatch(NETWORK_NAME, text):
        raise ValueError(text)
    return text


# Without a slash: it is looked up, and no path.
PROGRAM_NAME: Final = r"[A-Za-z0-9_][A-Za-z0-9_.+-]*"


def words(pattern: str) -> Callable[[str], tuple[str, ...]]:
    """Words with blanks between them, each of this pattern."""

    def read(text: str) -> tuple[str, ...]:
        words = tuple(text.split())
        if not all(re.fullmatch(pattern, word) for word in words):
            raise ValueError(text)
        return words

    return read


def absolute_paths(text: str) -> tuple[Path, ...]:
    """Absolute paths with colons between."""
    return tuple(absolute_path(part) for part in text.split(":") if part)


def one_of(*words: str) -> Callable[[str], str]:
    """One of these words."""

    def read(text: str) -> str:
        if text not in words:
            raise ValueError(text)
        return text

    return read


def zero_or_one(text: str) -> bool:
    """`1` for true, `0` for false."""
    return one_of("0", "1")(text) == "1"


def on_or_off(text: str) -> bool:
    """`on` or `off`."""
    return one_of("on", "off")(text) == "on"
