"""What a supervisor can do beyond the first release's messages: listed in its hello, so that what
an older one would ignore is refused instead.
"""

from __future__ import annotations

from typing import Final

IDLE_TIMEOUT: Final = "idle_timeout"
QUEUE_TIMEOUT: Final = "queue_timeout"
PRIORITY: Final = "priority"
RUN_AS: Final = "run_as"
# It makes a log when its first byte comes, or when it is asked to (`make_log`).
LOG_ON_DEMAND: Final = "log_on_demand"
# A claim says how many jobs of its principal may be pending, and running.
CEILINGS: Final = "ceilings"
# It passes options to a program in a file in memory (`fd_options`); without it there is no
# sandbox.
OPTIONS: Final = "options"
# It starts commands of another user with PR_SET_NO_NEW_PRIVS (`no_new_privs`).
NO_NEW_PRIVS: Final = "no_new_privs"
# Both streams of a command are one pipe when it asks for that (`one_pipe`).
ONE_PIPE: Final = "one_pipe"
# It changes the priority of a job that waits for a run slot.
SET_PRIORITY: Final = "set_priority"
# It measures what jobs use while they run, and lists their processes.
LIVE_USAGE: Final = "live_usage"
# It puts a script that is too long for an argument into a file (`script`).
SCRIPT_FILE: Final = "script_file"
# A command of another user may have supplementary groups (`groups` of `run_as`).
GROUPS: Final = "groups"
# It accepts no job and starts none that is pending, while it is asked to (`drain`).
DRAIN: Final = "drain"
# What a command leaves may outlive the job (`keep`, `end_kept`).
KEEP: Final = "keep"
# It sends signals that are no kill (`signal`, `passes_on`, `is_wrapped`).
SIGNAL: Final = "signal"
# A job can be held (`held` of a claim, `unhold`).
HOLD: Final = "hold"
# It makes files along with the job's directory (`files`).
FILES: Final = "files"
# A job may have a standard input (`stdin`, `input`, `input_index`).
INPUT: Final = "input"
# A job may have a terminal (`terminal`, `resize`, `foreground`); it tells whether
# one waits for input (`waits_for_input`).
TERMINAL: Final = "terminal"
# Signals reach a command by a program (`signaller`), and what its status probe reports may have
# `facts`, and be `gone`.
SIGNALLER: Final = "signaller"

CAPABILITIES: Final = (
    IDLE_TIMEOUT,
    QUEUE_TIMEOUT,
    PRIORITY,
    RUN_AS,
    LOG_ON_DEMAND,
    CEILINGS,
    OPTIONS,
    NO_NEW_PRIVS,
    ONE_PIPE,
    SET_PRIORITY,
    LIVE_USAGE,
    SCRIPT_FILE,
    GROUPS,
    DRAIN,
    KEEP,
    TERMINAL,
    SIGNAL,
    HOLD,
    FILES,
    INPUT,
    SIGNALLER,
)
