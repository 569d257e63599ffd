"""What Slurm's controller tells of the commands of this service: whether it answers, which commands
wait or run, and which jobs of dead commands it still has.

One call at a time from each process, whoever asks: a controller may be slow when many do.
"""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from service.kinds.kind import Orphan, UnderWay
from service.kinds.plan import CannotRun
from service.kinds.slurm.plan import NAME_PREFIX
from service.kinds.slurm.programs import comment, control, program, srun, user
from service.kinds.slurm.settings import SlurmSettings
from service.settings import Settings

# Seconds: a controller that takes longer counts as unreachable.
_ANSWER_S: Final = 5.0
# Seconds: killing a job takes up to twelve.
_CANCEL_S: Final = 20.0

# Where Slurm's programs find a cluster by themselves. Source: slurm.conf(5), configless mode.
_CONFIGURATIONS: Final = ("/etc/slurm/slurm.conf", "/run/slurm/conf/slurm.conf")

_NAME: Final = re.compile(rf"{re.escape(NAME_PREFIX)}(?P<job>.+)-(?P<number>[0-9]+)")
_one_at_a_time: Final = threading.Lock()


class _Listed(msgspec.Struct, frozen=True):
    """A job of Slurm's that is a command of ours."""

    job_id: str
    number: int
    name: str
    slurm_id: str
    state: str
    reason: str
    nodes: str


def fault(settings: Settings) -> str | None:
    """Why no command can be run now, in a sentence; None if one can."""
    try:
        _check(settings)
        told = _call(settings, program(settings, "scontrol"), "ping")
    except CannotRun as exc:
        return f"{exc}."
    if re.search(r"\bis UP\b", told):
        return None
    return f"Slurm's controller is down: {' '.join(told.split())[:200]}"


def orphans(settings: Settings) -> list[Orphan]:
    """Every job of this service that Slurm has, of live ones too. Raises: CannotRun."""
    # One that completes is over: an epilog may run for minutes.
    left = (each for each in _listed(settings) if each.state != "COMPLETING")
    return [Orphan(each.job_id, each.name) for each in left]


def cancel(settings: Settings, found: Sequence[Orphan]) -> None:
    """Cancel these, and see that they are gone. Raises: CannotRun."""
    whose = (program(settings, "squeue"), user(settings))
    for orphan in found:
        argv = control("cancel", *whose, orphan.name, program(settings, "scancel"))
        _call(settings, *argv, timeout_s=_CANCEL_S)


def under_way(settings: Settings) -> UnderWay:
    """What the view of each command that Slurm has can tell now. Raises: CannotRun."""
    return {(each.job_id, each.number): _facts(each) for each in _listed(settings)}


def _facts(listed: _Listed) -> dict[str, Any]:
    facts: dict[str, Any] = {"SlurmJobID": listed.slurm_id}
    if listed.nodes:
        facts["Nodes"] = listed.nodes
    if listed.state == "PENDING":
        facts["Queued"] = {"Reason": listed.reason}
    return facts


def is_set_up(settings: Settings) -> bool:
    """Whether Slurm is told where its cluster is."""
    told = settings.passed[SlurmSettings].keys() & {"SLURM_CONF", "SLURM_CONF_SERVER"}
    return bool(told) or any(map(os.path.exists, _CONFIGURATIONS))


def _check(settings: Settings) -> None:
    """Whether there is any cluster to ask about: without a configuration Slurm's programs look for
    one for half a minute. Raises: CannotRun.
    """
    client = srun(settings)
    if not (os.path.isabs(client) and os.access(client, os.X_OK)):
        raise CannotRun(f"The program {client!r} is not there (JOBRUNNER_SRUN)")
    if not is_set_up(settings):
        where = " nor ".join(_CONFIGURATIONS)
        raise CannotRun(f"Slurm isn't configured here: neither SLURM_CONF is set, nor is {where}")


def _listed(settings: Settings) -> list[_Listed]:
    _check(settings)
    columns = "%j|%k|%i|%T|%r|%N"
    told = _call(settings, program(settings, "squeue"), "-h", "-u", user(settings), "-o", columns)
    return list(_parsed(told, comment(settings)))


def _parsed(told: str, own: str) -> Iterator[_Listed]:
    for line in told.splitlines():
        match line.split("|"):
            # A name may have the separator; what follows the name is Slurm's, or ours.
            case [*name, comment, slurm_id, state, reason, nodes] if comment == own:
                if (found := _NAME.fullmatch("|".join(name))) is not None:
                    job_id, number = found["job"], int(found["number"])
                    yield _Listed(job_id, number, found[0], slurm_id, state, reason, nodes)


def _call(settings: Settings, *argv: str, timeout_s: float = _ANSWER_S) -> str:
    """What the program prints. Raises: CannotRun."""
    name = argv[0].rpartition("/")[2]
    try:
        with _one_at_a_time:
            ended = subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=timeout_s,
                env=settings.environment_for(SlurmSettings),
            )
    except OSError as exc:
        raise CannotRun(f"The program {argv[0]!r} could not be started: {exc.strerror}") from exc
    except subprocess.TimeoutExpired as exc:
        raise CannotRun(f"{name} did not answer within {timeout_s:g} s") from exc
    if ended.returncode != 0:
        lines = (ended.stderr or ended.stdout).decode(errors="replace").strip().splitlines()
        why = lines[-1] if lines else f"{name} ended with {ended.returncode}"
        raise CannotRun(f"Slurm can't be asked: {why}")
    return ended.stdout.decode(errors="replace")
