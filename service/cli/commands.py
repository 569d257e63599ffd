"""All commands by name, with what a list of them says. Nothing is loaded for it."""

from __future__ import annotations

from typing import Final

JOBS: Final = {
    "run": "run a command, and exit as it does",
    "attach": "read a job's output from its first byte, then live until it ends",
    "logs": "show output: what there is, and with -f what comes; of one job or of many",
    "ps": "list jobs",
    "inspect": "show all that is known of jobs",
    "wait": "wait for the end of jobs, and exit as the worst of them",
    "kill": "kill jobs, and show the receipts",
    "send": "write into the standard input of a job",
    "cp": "copy files into a job's directory, and out of it",
    "release": "let held jobs run",
    "signal": "send a signal to jobs, which isn't a kill",
    "rerun": "run a job again, perhaps with changes",
    "events": "show how jobs change",
    "clean": "forget finished jobs and their output",
}
"""For users; each is a module of `service.cli.verbs`, whose `command` it is."""

SETUP: Final = {
    "mcp": "serve the Model Context Protocol: jobs for agents",
    "login": "store a service and its token, and speak to it from now on",
    "context": "show the services that are stored, and choose one",
    "completion": "complete commands, options and jobs in bash, zsh or fish",
}
"""For users as well, of this host; modules of `service.cli.verbs`, too."""

VERBS: Final = {**JOBS, **SETUP}

ASYNCHRONOUS: Final = {"mcp"}
"""Those of them that need all of httpx; the others load it for a client that blocks."""

OPERATOR: Final = {
    "doctor": "find out what is wrong on this host",
    "drain": "take no new jobs, and let those that run finish",
    "resume": "end a drain: take jobs again, and start those that are pending",
    "token": "manage who may call",
    "audit": "show who did what, and what was refused",
    "supervisor": "manage the supervisor",
}
"""For whoever runs the service, on its host: see `service.cli.operator`."""

SERVE: Final = {"serve": "run the service"}

SECTIONS: Final = {"Jobs": JOBS, "This command": SETUP, "The service": {**SERVE, **OPERATOR}}

COMPLETING: Final = "_JOBRUNNER_COMPLETE"
"""The variable by which a shell says that it completes a line."""
