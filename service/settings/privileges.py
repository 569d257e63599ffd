"""What jobs may do on this host."""

from __future__ import annotations

from dataclasses import dataclass

from service.settings.declaration import setting
from service.settings.readers import NETWORK_NAME, one_of, run_as, words, zero_or_one
from service.settings.values import RunAs


@dataclass(frozen=True, kw_only=True)
class PrivilegeSettings:
    """What jobs may do on this host."""

    run_as: RunAs | None = setting(
        run_as,
        "",
        "a user of this host other than root (with `:group` another group than theirs), for a"
        " service that runs as root",
        "whom jobs run as when the service is root, with the user's groups and home; `user:group`:"
        " with that group alone",
    )
    allow_root_jobs: bool = setting(
        zero_or_one,
        "0",
        "'0' or '1'",
        "`1`: with tokens, a service that is root and has no `JOBRUNNER_RUN_AS` starts all the"
        " same, and whoever may submit a job is root",
    )
    allow_new_privileges: bool = setting(
        zero_or_one,
        "0",
        "'0' or '1'",
        "`1`: with `JOBRUNNER_RUN_AS`, set-user-ID programs such as `sudo` and `ping` work in"
        " commands of the kind `bash`; never in a sandbox or a PID namespace",
    )
    sandbox: str = setting(
        one_of("off", "bwrap"),
        "off",
        "'off' or 'bwrap'",
        "`bwrap`: commands of the kind `bash` run in a sandbox made by bubblewrap",
    )
    pid_namespace: str = setting(
        one_of("off", "on"),
        "off",
        "'off' or 'on'",
        "`on`: each command of the kind `bash` runs in a PID namespace of its own, made by"
        " bubblewrap: it sees and signals no other process, and none of its own outlives it; a"
        " sandbox has one anyway",
    )
    background: str = setting(
        one_of("keep", "end"),
        "keep",
        "'keep' or 'end'",
        '`end`: no command may leave processes running when its job is over (`"Background": "keep"`'
        " is refused)",
    )
    networks: tuple[str, ...] = setting(
        words(NETWORK_NAME),
        "",
        "names of networks, with blanks between",
        "networks that a command may ask for besides `none` and `JOBRUNNER_DOCKER_NETWORK`, with"
        " blanks between: names of Docker's, or `host`, which holds for commands in a sandbox, too",
    )
