"""Everything from the environment, once: a table of settings, each validated with a sentence.

Sizes are plain bytes, times plain seconds, 0 is off where off makes sense. An empty variable counts
as unset, as it does for compose files and unit files.
"""

from __future__ import annotations

import grp
import os
import pwd
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

PREFIX: Final = "JOBRUNNER_"
# What a job may see of the service's environment.
_BASE_VARIABLES: Final = ("PATH", "HOME", "USER", "LANG", "TZ")
# Where bash and coreutils are when the service itself was started without a PATH.
_DEFAULT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What the programs that Kinds run commands with are told of the service's environment: where their
# daemon is, how it is reached, and where their own files are.
_OF_PROGRAMS: Final = re.compile(
    r"DOCKER_.*|CONTAINERS?_.*|REGISTRY_AUTH_FILE|(?:.*_PROXY|.*_proxy)|SSL_CERT_(?:FILE|DIR)"
    r"|SSH_AUTH_SOCK|XDG_(?:CONFIG_HOME|DATA_HOME|RUNTIME_DIR)|TMPDIR"
)
# Set for jobs, not for us: a service that runs as a job of another one sees them.
_OF_JOBS: Final = frozenset({"JOBRUNNER_JOB_ID", "JOBRUNNER_COMMAND", "JOBRUNNER_STATE"})


class SettingError(Exception):
    """A setting is wrong; the message names the variable, the value and what was expected."""

    def __init__(self, variable: str, value: str, expected: str) -> None:
        super().__init__(f"{variable} is {value!r}, expected {expected}.")
        self.variable = variable


class OnShutdown(StrEnum):
    """What a stopping service does with its live jobs."""

    KILL = "kill"
    LEAVE = "leave"


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table: the variable, how its text is read, its default, what it means."""

    name: str
    read: Callable[[str], Any]
    default: str
    expected: str
    meaning: str

    @property
    def variable(self) -> str:
        return PREFIX + self.name


def _integer(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not low <= (value := int(text)) <= high:
            raise ValueError(text)
        return value

    return read


def _bytes_or_off(low: int) -> Callable[[str], int]:
    integer = _integer(0, 2**63 - 1)

    def read(text: str) -> int:
        if 0 < (value := integer(text)) < low:
            raise ValueError(text)
        return value

    return read


def _seconds(low: float, high: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        if not low <= (value := float(text)) <= high:  # a NaN is in no range
            raise ValueError(text)
        return value

    return read


def _cpus_or_off(text: str) -> float:
    value = _seconds(0, 100_000)(text)
    if 0 < value < 0.01:
        raise ValueError(text)
    return value


@dataclass(frozen=True, slots=True)
class Share:
    """A part of the file system that holds the state directory."""

    percent: int


def _bytes_or_share(text: str) -> int | Share:
    if text.endswith("%"):
        return Share(_integer(1, 100)(text[:-1]))
    return _integer(0, 1 << 60)(text)


def _hostname(text: str) -> str:
    if any(c.isspace() or c in "/@" for c in text):
        raise ValueError(text)
    return text


def _absolute(text: str) -> Path:
    path = Path(text).expanduser()
    if not path.is_absolute() or "\0" in text:
        raise ValueError(text)
    return path


def _hosts(text: str) -> frozenset[str]:
    names = [name.strip().lower() for name in text.split(",")]
    if text and any(not name or any(c.isspace() or c in "/@" for c in name) for name in names):
        raise ValueError(text)
    return frozenset(name.strip("[]") for name in names if name)


def _file_or_none(text: str) -> Path | None:
    if not text:
        return None
    if not (path := _absolute(text)).is_file():
        raise ValueError(text)
    return path


def _program(text: str) -> str:
    if not text.strip() or "\0" in text or ("/" in text and not text.startswith("/")):
        raise ValueError(text)
    return text


def _user(text: str) -> str:
    if text and not re.fullmatch(
        r"[A-Za-z0-9_][A-Za-z0-9_.-]*(?::[A-Za-z0-9_][A-Za-z0-9_.-]*)?", text
    ):
        raise ValueError(text)
    return text


@dataclass(frozen=True, slots=True)
class RunAs:
    """A user of this box, with the group that their processes have."""

    name: str
    uid: int
    gid: int
    home: str


def _run_as(text: str) -> RunAs | None:
    name, _, group = _user(text).partition(":")
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
    return RunAs(user.pw_name, user.pw_uid, gid, user.pw_dir)


_NETWORK: Final = r"[A-Za-z0-9][A-Za-z0-9_.:-]*"


def _network(text: str) -> str:
    if not re.fullmatch(_NETWORK, text):
        raise ValueError(text)
    return text


def _words(pattern: str) -> Callable[[str], tuple[str, ...]]:
    """Words with blanks between them, each of this pattern."""

    def read(text: str) -> tuple[str, ...]:
        words = tuple(text.split())
        if not all(re.fullmatch(pattern, word) for word in words):
            raise ValueError(text)
        return words

    return read


def _absolute_paths(text: str) -> tuple[Path, ...]:
    return tuple(_absolute(part) for part in text.split(":") if part)


def _one_of(*words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in words:
            raise ValueError(text)
        return text

    return read


def _yes_or_no(text: str) -> bool:
    return _one_of("0", "1")(text) == "1"


def _on_or_off(text: str) -> bool:
    return _one_of("on", "off")(text) == "on"


TABLE: Final[tuple[Setting, ...]] = (
    Setting(
        "HOSTNAME",
        _hostname,
        "127.0.0.1",
        "a host name or an address to listen on",
        "where to listen, unless `--host` is given",
    ),
    Setting(
        "PORT",
        _integer(0, 65535),
        "8080",
        "a port number from 0 to 65535 (0: any free one)",
        "the port, unless `--port` is given",
    ),
    Setting(
        "ALLOWED_HOSTS",
        _hosts,
        "",
        "host names without ports, separated by commas, or '*' for any",
        "the names that the service may be called by; default: those of loopback",
    ),
    Setting(
        "RATE_LIMIT",
        _seconds(0, 1_000_000),
        "200",
        "a number of requests from 0 (off) to 1000000",
        "requests a second of one principal, on average, and in each worker; twice as many at once;"
        " 0: off",
    ),
    Setting(
        "AUTH_FAILURES",
        _seconds(0, 1_000_000),
        "30",
        "a number of requests from 0 (off) to 1000000",
        "refused requests a minute (401 and 403) from one address, or one /64 of IPv6, in each"
        " worker; further ones get 429; 0: off",
    ),
    Setting(
        "REQUEST_TIMEOUT",
        _integer(1, 3600),
        "60",
        "whole seconds from 1 to 3600",
        "seconds in which a request must have arrived, head and body, from its first byte; for the"
        " first one of a connection, from when that was made",
    ),
    Setting(
        "MAX_REQUESTS",
        _integer(0, 1_000_000),
        "4000",
        "a whole number from 0 (off) to 1000000",
        "requests of one principal that are under way at a time in each worker, waits and attached"
        " readers among them, so that one can't take all connections; 0: off",
    ),
    Setting(
        "MAX_STRANGERS",
        _integer(0, 1_000_000),
        "10000",
        "a whole number from 0 (off) to 1000000",
        "connections at a time in each worker over which nobody has shown a good token yet, a"
        " quarter of them from one address (not of loopback); when there is one more the oldest is"
        " closed; never more than three quarters of the descriptors; 0: no other bound",
    ),
    Setting(
        "MAX_READERS",
        _integer(0, 1_000_000),
        "10000",
        "a whole number from 0 (off) to 1000000",
        "attached readers at a time in each worker, of whom each may cost half a megabyte of the"
        " kernel's memory when it doesn't read; 0: off",
    ),
    Setting(
        "TLS_CLIENT_CA",
        _file_or_none,
        "",
        "an absolute path of a file with certificates",
        "the authority whose client certificates prove a principal: their common name is the"
        " name of a token (with Sanic's `--cert` and `--key`)",
    ),
    Setting(
        "STATE_DIR",
        _absolute,
        "",
        "an absolute path",
        "records and output; default `$XDG_STATE_HOME/jobrunner`, else `~/.local/state/jobrunner`",
    ),
    Setting(
        "MAX_RUNNING",
        _integer(1, 100_000),
        "1000",
        "a whole number from 1 to 100000",
        "jobs that run at a time; the others wait: higher `Priority` first, within one whose caller"
        " has the fewest running, within that first come first served",
    ),
    Setting(
        "MAX_PENDING",
        _integer(0, 10_000_000),
        "10000",
        "a whole number from 0 (off) to 10000000",
        "jobs that may wait for their turn, and of one principal as many as it leaves to the others"
        " (half of them, when it is alone); a submission beyond it gets 429; 0: off",
    ),
    Setting(
        "SHUTDOWN",
        OnShutdown,
        "kill",
        "'kill' or 'leave'",
        "what a stopping service does with live jobs: end them, or leave them running for the next",
    ),
    Setting(
        "SHUTDOWN_GRACE",
        _seconds(0, 8),
        "4",
        "seconds from 0 to 8",
        "seconds between TERM and KILL at shutdown, when the job's own grace isn't shorter",
    ),
    Setting(
        "MAX_BODY",
        _integer(1024, 1 << 30),
        str(4 << 20),
        "a number of bytes from 1024 to 1073741824",
        "bytes of a request's body; Linux starts no program with more than 2 MiB of arguments and"
        " variables, unless its stack may be larger than usual",
    ),
    Setting(
        "OUTPUT_LIMIT",
        _bytes_or_off(64 << 10),
        "0",
        "0, or a number of bytes of at least 65536",
        "bytes of output that are kept of a job: what holds for one that doesn't say, and the most"
        " that one may ask for; 0: no limit",
    ),
    Setting(
        "LIMIT_MEMORY",
        _bytes_or_off(4 << 20),
        "0",
        "0, or a number of bytes of at least 4194304",
        "bytes of memory of a job: as with the output, and with each `LIMIT` below, what holds for"
        " one that doesn't say, and the most that one may ask for; 0: no limit",
    ),
    Setting(
        "LIMIT_CPUS",
        _cpus_or_off,
        "0",
        "0, or a number of processors from 0.01 to 100000",
        "processors that a job may keep busy; 0: no limit",
    ),
    Setting(
        "LIMIT_PIDS",
        _integer(0, 2**22),
        "0",
        "a whole number from 0 (off) to 4194304",
        "processes and threads of a job; 0: no limit",
    ),
    Setting(
        "LIMIT_OPEN_FILES",
        _bytes_or_off(16),
        "0",
        "0, or a whole number of at least 16",
        "open descriptors of each process of a job; 0: what the service was started with",
    ),
    Setting(
        "LIMIT_FILE_SIZE",
        _bytes_or_off(512),
        "0",
        "0, or a number of bytes of at least 512",
        "bytes of any file that a process of a job writes; 0: no limit",
    ),
    Setting(
        "DRAIN_GRACE",
        _seconds(0, 3600),
        "2",
        "seconds from 0 to 3600",
        "seconds to wait for the end of output when a command has ended but something holds its"
        " pipe",
    ),
    Setting(
        "CGROUP",
        _one_of("auto", "off"),
        "auto",
        "'auto' or 'off'",
        "`auto`: keep each job in a cgroup (v2) where that is writable;"
        " `off`: find its processes by walking the tree",
    ),
    Setting(
        "RETAIN_AGE",
        _seconds(0, 10 * 365 * 86400),
        "0",
        "seconds from 0 (off) to 315360000",
        "seconds after which a finished job is cleaned; 0: off",
    ),
    Setting(
        "RETAIN_JOBS",
        _integer(0, 1_000_000_000),
        "0",
        "a whole number from 0 (off) to 1000000000",
        "finished jobs that are kept: beyond it the oldest are cleaned; 0: off",
    ),
    Setting(
        "RETAIN_BYTES",
        _bytes_or_share,
        "10%",
        "a number of bytes (0: off), or a share of the file system from 1% to 100%",
        "bytes on the disk that the files of finished jobs may take: beyond it the oldest jobs are"
        " cleaned; `N%`: that share of the file system; 0: off",
    ),
    Setting(
        "RUN_AS",
        _run_as,
        "",
        "a user of this box other than root (with `:group` another group than theirs), for a"
        " service that runs as root",
        "whom jobs run as when the service is root, `user` or `user:group`: with that group alone,"
        " and the user's home",
    ),
    Setting(
        "ALLOW_ROOT_JOBS",
        _yes_or_no,
        "0",
        "'0' or '1'",
        "`1`: with tokens, a service that is root and has no `JOBRUNNER_RUN_AS` starts all the"
        " same, and whoever may submit a job is root",
    ),
    Setting(
        "ALLOW_NEW_PRIVILEGES",
        _yes_or_no,
        "0",
        "'0' or '1'",
        "`1`: with `JOBRUNNER_RUN_AS`, set-user-ID programs such as `sudo` and `ping` work in"
        " commands of the kind `bash`; never in a sandbox",
    ),
    Setting(
        "SANDBOX",
        _one_of("off", "bwrap"),
        "off",
        "'off' or 'bwrap'",
        "`bwrap`: commands of the kind `bash` run in a sandbox made by bubblewrap",
    ),
    Setting(
        "DOCKER",
        _program,
        "docker",
        "a program's name, or its absolute path",
        "the client that runs commands of the kind `docker`; `podman` may do",
    ),
    Setting(
        "DOCKER_USER",
        _user,
        "",
        "a user, or a user and a group (1000:1000)",
        "whom commands in containers run as, `user` or `user:group`; default `JOBRUNNER_RUN_AS`,"
        " else the service's own",
    ),
    Setting(
        "DOCKER_NETWORK",
        _network,
        "none",
        "the name of a network",
        "the network of a container that doesn't ask for one",
    ),
    Setting(
        "NETWORKS",
        _words(_NETWORK),
        "",
        "names of networks, with blanks between",
        "networks that a command may ask for besides `none` and `JOBRUNNER_DOCKER_NETWORK`, with"
        " blanks between: names of Docker's, or `host`, which holds for commands in a sandbox, too",
    ),
    Setting(
        "DOCKER_CAPABILITIES",
        _words(r"(?:CAP_)?[A-Z][A-Z_]*"),
        "",
        "names of capabilities in capital letters, with blanks between",
        "capabilities(7) of the processes in a container, with blanks between; default none",
    ),
    Setting(
        "DOCKER_IMAGES",
        _words(r"[A-Za-z0-9*?._:@/\[\]-]+"),
        "",
        "patterns of images, with blanks between",
        "images that may run, as patterns with blanks between; `*` is any characters, and names are"
        " completed as Docker does (`busybox` is `docker.io/library/busybox`, with any tag;"
        " `registry.example/team/*` all of a registry's path); default all",
    ),
    Setting(
        "DOCKER_VOLUMES",
        _absolute_paths,
        "",
        "absolute paths, with ':' between them",
        "directories below which a command may have volumes, with `:` between them; default none",
    ),
    Setting(
        "LOG_FORMAT",
        _one_of("text", "json"),
        "text",
        "'text' or 'json'",
        "how the service writes its log lines",
    ),
    Setting(
        "LOG_REQUESTS",
        _on_or_off,
        "off",
        "'on' or 'off'",
        "whether each request is logged on its end; a line costs more than a short answer does",
    ),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings, read and validated; `base_environment` is what of the service's own every
    program starts from, `program_environment` what those get besides that Kinds run commands with.
    """

    hostname: str
    port: int
    allowed_hosts: frozenset[str]
    rate_limit: float
    auth_failures: float
    request_timeout: int
    max_requests: int
    max_strangers: int
    max_readers: int
    tls_client_ca: Path | None
    state_dir: Path
    max_running: int
    max_pending: int
    shutdown: OnShutdown
    shutdown_grace: float
    max_body: int
    output_limit: int
    limit_memory: int
    limit_cpus: float
    limit_pids: int
    limit_open_files: int
    limit_file_size: int
    drain_grace: float
    cgroup: str
    retain_age: float
    retain_jobs: int
    retain_bytes: int | Share
    run_as: RunAs | None
    allow_root_jobs: bool
    allow_new_privileges: bool
    sandbox: str
    docker: str
    docker_user: str
    docker_network: str
    networks: tuple[str, ...]
    docker_capabilities: tuple[str, ...]
    docker_images: tuple[str, ...]
    docker_volumes: tuple[Path, ...]
    log_format: str
    log_requests: bool
    base_environment: dict[str, str]
    program_environment: dict[str, str]
    unknown: tuple[str, ...]

    @property
    def service_environment(self) -> dict[str, str]:
        """All that a program gets which the service runs for a job as its own user."""
        return {**self.base_environment, **self.program_environment}

    @property
    def job_environment(self) -> dict[str, str]:
        """What every command of a job starts from that is the job's own program."""
        if (user := self.run_as) is None:
            return self.base_environment
        return {**self.base_environment, "HOME": user.home, "USER": user.name}

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """The settings that `environment` (by default: this process's) gives.

        Raises: SettingError.
        """
        env = os.environ if environment is None else environment
        values: dict[str, Any] = {}
        for setting in TABLE:
            text = env.get(setting.variable, "") or setting.default
            if not text and setting.name == "STATE_DIR":
                text = _default_state_dir(env)
            try:
                values[setting.name.lower()] = setting.read(text)
            except (ValueError, OverflowError, RuntimeError) as exc:
                raise SettingError(setting.variable, text, setting.expected) from exc
        base = {name: env[name] for name in _BASE_VARIABLES if name in env}
        base.setdefault("PATH", _DEFAULT_PATH)
        known = {setting.variable for setting in TABLE} | _OF_JOBS
        unknown = tuple(sorted(v for v in env if v.startswith(PREFIX) and v not in known))
        program = {name: value for name, value in env.items() if _OF_PROGRAMS.fullmatch(name)}
        return cls(base_environment=base, program_environment=program, unknown=unknown, **values)


def _default_state_dir(env: Mapping[str, str]) -> str:
    # Source: XDG Base Directory Specification; a relative XDG_STATE_HOME is to be ignored.
    home = env.get("XDG_STATE_HOME", "")
    if home.startswith("/"):
        return f"{home}/jobrunner"
    return f"{env.get('HOME') or '~'}/.local/state/jobrunner"


assert {s.name.lower() for s in TABLE} | {"base_environment", "program_environment", "unknown"} == {  # noqa: S101 - the table and the class are one thing
    f.name for f in fields(Settings)
}
