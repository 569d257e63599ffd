"""Slurm's programs: where they are, and who calls them."""

from __future__ import annotations

import functools
import hashlib
import os
import pwd
import re
import shutil
from pathlib import Path
from typing import Final

from service.kinds.slurm.settings import SlurmSettings
from service.settings import Settings

# What the supervisor runs: see there.
_CONTROL: Final = str(Path(__file__).with_name("control.sh"))
_COMMENT: Final = "jobrunner:"
# One that can't be taken for a number, an option or a list.
_plain_name: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.@-]*")


def srun(settings: Settings) -> str:
    """The client that the service's own PATH finds."""
    return _find(settings.of(SlurmSettings).srun, settings.base_environment["PATH"])


def program(settings: Settings, name: str) -> str:
    """Another of Slurm's programs: the one beside srun, else that of the PATH."""
    beside = os.path.join(os.path.dirname(srun(settings)), name)
    if os.path.isabs(beside) and os.access(beside, os.X_OK):
        return beside
    return _find(name, settings.base_environment["PATH"])


def control(verb: str, *arguments: str) -> tuple[str, ...]:
    """A program that the supervisor runs, beginning with what `control.sh` is to do."""
    return ("/bin/sh", _CONTROL, verb, *arguments)


def user(settings: Settings) -> str:
    """Whose jobs they are in Slurm: to list those of one user costs a controller little."""
    return _name_of(os.geteuid() if settings.run_as is None else settings.run_as.uid)


def comment(settings: Settings) -> str:
    """What tells the jobs of this service from those of another of the same user's."""
    state_dir = os.fsencode(settings.state_dir.resolve())
    whole = os.fsencode(os.uname().nodename) + b"\0" + state_dir
    return f"{_COMMENT}{hashlib.sha256(whole).hexdigest()[:16]}"


@functools.cache
def _name_of(uid: int) -> str:
    """Its number where it has no name. Slurm's programs take a number for a name at first, and ask
    every source of names that the host has for it, again and again.
    """
    try:
        name = pwd.getpwuid(uid).pw_name
        is_its_own = pwd.getpwnam(name).pw_uid == uid
    except KeyError:
        return str(uid)
    return name if is_its_own and _plain_name.fullmatch(name) else str(uid)


@functools.cache
def _find(name: str, path: str) -> str:
    # Where there is none the bare name goes to the supervisor, whose refusal names it.
    return shutil.which(name, path=path) or name
