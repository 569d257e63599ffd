"""What a Kind decides of one command: the plan, and the part of the message `start` made of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from service.files.job import JobFiles
from service.jobs.terminal import Terminal
from service.link.start import StartKeys
from service.settings import KindSettings, Settings


class Context(msgspec.Struct, frozen=True):
    """Where a command will run.

    `files` says where the job's files are, `root` is the directory on this host that the job's
    `WorkingDir` names. `environment` is the job's. `limits` hold for it, those in force only.
    `has_stdin`: the job's input is the command's standard input.
    `terminal` is the job's, None if it has none. `timeout_s` is the job's; 0: none.
    """

    job_id: str
    number: int
    settings: Settings
    files: JobFiles
    root: str
    environment: Mapping[str, str]
    limits: Mapping[str, Any] = msgspec.field(default_factory=dict)
    has_stdin: bool = False
    terminal: Terminal | None = None
    timeout_s: float = 0.0

    @property
    def path(self) -> str:
        """The service's own search path, never the job's: a job that sets PATH still finds its
        interpreter.
        """
        return self.settings.base_environment["PATH"]

    @property
    def term(self) -> dict[str, str]:
        """What names the type of the terminal to programs, if there is one."""
        return {} if self.terminal is None else {"TERM": self.terminal.term}

    @property
    def marker(self) -> dict[str, str]:
        """What names the job, and the command in it, to each of its processes."""
        return {"JOBRUNNER_JOB_ID": self.job_id, "JOBRUNNER_COMMAND": str(self.number)}


class CannotRun(Exception):
    """The command can't be run; the message is a sentence for its record."""


class Plan(msgspec.Struct, frozen=True):
    """How a command is run: `argv` by execve, without a shell of ours in between, with `input` as
    its standard input (empty: there is none); where that is the job's, `input` is a file, whose
    path becomes `argv[input_index]`.

    `environment` is what the job chose, for a program that is the job's own. A program that isn't
    (`environment` None) gets the service's: docker's client, which runs as the service's user
    (`as_service_user`), and bwrap, which runs as the job's, but outside of the sandbox. Such a
    program hands the job's variables on as data. `fd_options` are for bwrap: it reads them from a
    descriptor, whose number becomes `argv[fd_options_index]`, so that no process list shows them.
    `sets_no_new_privs`: the program sets PR_SET_NO_NEW_PRIVS itself.

    `takes_terminal`: the program makes the job's terminal that of a session of its own.

    `passes_on`: the signals that the program passes on to what it runs, where that is no child of
    the supervisor; none: the command gets its signals itself. `is_wrapped`: the program and its
    child are in between, and get only what ends a job.

    `script` is put into the file of this command (`JobFiles.script`), which the program reads.
    `one_pipe`: both streams of output are one pipe, so that their order is kept. `keeps`: what it
    leaves running goes on when the job is over.

    `status_probe` is run by the supervisor when the wait status is in one of the ranges `probe_if`:
    it finds out how the command really ended. `cleanup` is run when the command ended in the
    ordinary way; `force_cleanup` in any other case, also by a successor of this supervisor.
    `signaller` is run instead of a signal to the program, which gets KILL alone: its last arguments
    are `kill` or `signal`, and the signal's number. All are empty for a Kind whose processes are
    all children of the supervisor. They are the service's programs, with its environment, whatever
    the command's has.

    `programs_of`: the settings of the Kind whose variables the service's programs get.
    """

    argv: tuple[str, ...]
    environment: Mapping[str, str] | None = None
    as_service_user: bool = False
    input: str = ""
    input_index: int = 0
    fd_options: tuple[str, ...] = ()
    fd_options_index: int = 0
    sets_no_new_privs: bool = False
    one_pipe: bool = False
    keeps: bool = False
    takes_terminal: bool = False
    passes_on: tuple[int, ...] = ()
    is_wrapped: bool = False
    script: str = ""
    status_probe: tuple[str, ...] = ()
    probe_if: tuple[tuple[int, int], ...] = ()
    cleanup: tuple[str, ...] = ()
    force_cleanup: tuple[str, ...] = ()
    signaller: tuple[str, ...] = ()
    programs_of: type[KindSettings] | None = None

    def __post_init__(self) -> None:
        """Raises: ValueError, for a program of the service with variables that a job chose."""
        if self.as_service_user and self.environment is not None:
            raise ValueError("a program of the service has the service's environment alone")

    def start_keys(self, context: Context) -> StartKeys:
        """The keys of the message `start` that the Kind decides. Only here a program of the service
        gets its environment, of which nothing is a job's.
        """
        settings = context.settings
        keys: StartKeys = {"argv": self.argv, "env": self._environment(context)}
        if self.as_service_user:
            keys["as_service_user"] = True
        elif settings.run_as and not (settings.allow_new_privileges or self.sets_no_new_privs):
            keys["no_new_privs"] = True
        if self.fd_options:
            keys["fd_options"] = self.fd_options
            keys["fd_options_index"] = self.fd_options_index
        if self.one_pipe:
            keys["one_pipe"] = True
        if self.keeps:
            keys["keep"] = True
        if (asked := context.terminal) is not None:
            controls = not self.takes_terminal
            keys["terminal"] = {"rows": asked.rows, "cols": asked.cols, "controls": controls}
        if self.passes_on:
            keys["passes_on"] = self.passes_on
        if self.is_wrapped:
            keys["is_wrapped"] = True
        if self.script:
            keys["script"] = self.script
        if self.input or self.input_index:
            keys["input"] = self.input
        if self.input_index:
            keys["input_index"] = self.input_index
        self._add_hooks(keys, context)
        return keys

    def _add_hooks(self, keys: StartKeys, context: Context) -> None:
        if self.status_probe:
            keys["status_probe"] = self.status_probe
            keys["probe_if"] = self.probe_if
        if self.cleanup:
            keys["cleanup"] = self.cleanup
        if self.force_cleanup:
            keys["force_cleanup"] = self.force_cleanup
        if self.signaller:
            keys["signaller"] = self.signaller
        if self.status_probe or self.force_cleanup or self.signaller:
            programs = context.settings.environment_for(self.programs_of)
            keys["hook_env"] = {**programs, **context.marker}

    def _environment(self, context: Context) -> Mapping[str, str]:
        if self.environment is not None:
            return self.environment
        settings = context.settings
        if self.as_service_user:
            return {**settings.environment_for(self.programs_of), **context.marker}
        return {**settings.job_user_environment, **context.marker}
