"""How many jobs run, what each may use, and how they end."""

from __future__ import annotations

from dataclasses import dataclass

from service.settings.declaration import setting
from service.settings.readers import (
    PROGRAM_NAME,
    integer,
    job_environment,
    number,
    one_of,
    processors_or_off,
    words,
    zero_or_at_least,
)
from service.settings.values import JobEnvironment, OnShutdown


@dataclass(frozen=True, kw_only=True)
class JobSettings:
    """How many jobs run, what each may use, and how they end."""

    max_running: int = setting(
        integer(1, 100_000),
        "1000",
        "a whole number from 1 to 100000",
        "jobs that run at a time; the others wait: higher `Priority` first, within one whose caller"
        " has the fewest running, within that first come first served",
    )
    max_pending: int = setting(
        integer(0, 10_000_000),
        "10000",
        "a whole number from 0 (off) to 10000000",
        "jobs that may wait for a run slot, and of one principal as many as it leaves to the others"
        " (half of them, when it is alone); a submission beyond it gets 429; 0: off",
    )
    shutdown: OnShutdown = setting(
        OnShutdown,
        "kill",
        "'kill', 'leave' or 'drain'",
        "what a stopping service does with jobs that run: `kill` ends them, `leave` leaves them to"
        " the next service, `drain` waits for them, and takes no new ones meanwhile; pending ones"
        " always wait for the next service",
    )
    shutdown_timeout: float = setting(
        number(0, 30 * 86400),
        "3600",
        "seconds from 0 (off) to 2592000",
        "seconds that a stop with `drain` waits; jobs that still run then are left to the next"
        " service; 0: any time",
    )
    shutdown_grace: float = setting(
        number(0, 8),
        "4",
        "seconds from 0 to 8",
        "seconds between TERM and KILL at shutdown, when the job's own grace isn't shorter",
    )
    output_limit: int = setting(
        zero_or_at_least(64 << 10),
        "0",
        "0, or a number of bytes of at least 65536",
        "bytes of output that are kept of a job: what holds for one that doesn't say, and the most"
        " that one may ask for; 0: no limit",
    )
    limit_memory: int = setting(
        zero_or_at_least(4 << 20),
        "0",
        "0, or a number of bytes of at least 4194304",
        "bytes of memory of a job: as with the output, and with each `LIMIT` below, what holds for"
        " one that doesn't say, and the most that one may ask for; 0: no limit",
    )
    limit_cpus: float = setting(
        processors_or_off,
        "0",
        "0, or a number of processors from 0.01 to 100000",
        "processors that a job may keep busy; 0: no limit",
    )
    limit_pids: int = setting(
        integer(0, 2**22),
        "0",
        "a whole number from 0 (off) to 4194304",
        "processes and threads of a job; 0: no limit",
    )
    limit_open_files: int = setting(
        zero_or_at_least(16),
        "0",
        "0, or a whole number of at least 16",
        "open descriptors of each process of a job; 0: what the service was started with",
    )
    limit_file_size: int = setting(
        zero_or_at_least(512),
        "0",
        "0, or a number of bytes of at least 512",
        "bytes of any file that a process of a job writes; 0: no limit",
    )
    job_environment: JobEnvironment = setting(
        job_environment,
        "",
        "an absolute path of a file of `NAME=value` lines, as systemd's EnvironmentFile has them",
        "a file of variables for all jobs, `NAME=value` in each line as in systemd's"
        " `EnvironmentFile`; read at start",
    )
    shells: tuple[str, ...] = setting(
        words(PROGRAM_NAME),
        "bash sh",
        "names of programs, with blanks between",
        "what `Shell` of a command may name, with blanks between; each is looked up on the"
        " service's own `PATH`",
    )
    drain_grace: float = setting(
        number(0, 3600),
        "2",
        "seconds from 0 to 3600",
        "seconds to wait for the end of output when a command has ended but something holds its"
        " pipe",
    )
    cgroup: str = setting(
        one_of("auto", "off"),
        "auto",
        "'auto' or 'off'",
        "`auto`: keep each job in a cgroup (v2) where that is writable;"
        " `off`: find its processes by walking the tree",
    )
