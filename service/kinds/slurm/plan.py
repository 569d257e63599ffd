"""From a command on a cluster to srun's argument list, and to what follows its end."""

from __future__ import annotations

import math
import os
import sys
from typing import Final

from service.kinds.plan import CannotRun, Context, Plan
from service.kinds.slurm import ending, options
from service.kinds.slurm.programs import comment, control, program, srun, user
from service.kinds.slurm.settings import SlurmSettings
from service.kinds.slurm.spec import SlurmCommand, SlurmRequest
from service.kinds.slurm.step import step

NAME_PREFIX: Final = "jr-"
# The controller is asked whatever srun says: srun says 0 for a step that handled Slurm's TERM.
_ANY: Final = ((-64, 255),)
_SECONDS: Final = 60


def plan(spec: SlurmCommand, context: Context) -> Plan:
    """`srun` as a child of the supervisor, as the job's user. Raises: CannotRun."""
    settings = context.settings
    asked = _options(spec.slurm, context)
    directory = os.path.normpath(os.path.join(context.root, spec.working_dir or ""))
    variables = {
        **settings.job_environment.variables,
        **context.environment,
        **spec.environment,
        **context.marker,
    }
    ran = step(spec.command_line, variables, directory, context.limits)
    name = f"{NAME_PREFIX}{context.job_id}-{context.number}"
    own = [
        *("-QQ", "--unbuffered", "--export=ALL", "--propagate=NONE"),
        *(f"--job-name={name}", f"--comment={comment(settings)}"),
    ]
    if not context.has_stdin:
        own.append("--input=none")
    whose = (program(settings, "squeue"), user(settings), name)
    return Plan(
        argv=(srun(settings), *own, *asked, "--", *ran.argv),
        environment={
            **settings.job_user_environment,
            **settings.passed[SlurmSettings],
            **ran.carriers,
            **context.marker,
        },
        programs_of=SlurmSettings,
        status_probe=(
            *control("probe", *whose),
            *(sys.executable, "-I", "-S", ending.__file__),
            *(program(settings, "sacct"), srun(settings), *asked),
        ),
        probe_if=_ANY,
        force_cleanup=control("cancel", *whose, program(settings, "scancel")),
        signaller=control("signal", *whose, program(settings, "scancel")),
    )


def _options(asked: SlurmRequest, context: Context) -> list[str]:
    """What decides where the step runs, and with how much."""
    settings = context.settings.of(SlurmSettings)
    for option in asked.options:
        if (expected := options.why_not(option, settings.slurm_options)) is not None:
            raise CannotRun(f"The option {option!r} may not be used any more: expected {expected}.")
    limits = context.limits
    named = {
        "partition": asked.partition or settings.slurm_partition,
        "account": asked.account or settings.slurm_account,
        "qos": asked.qos,
        "time": _minutes(asked.time, context.timeout_s),
        "cpus-per-task": _processors(asked.cpus, limits.get("cpus")),
        "mem": _memory(asked.memory, limits.get("memory")),
        "gpus": asked.gpus,
        "nodes": asked.nodes,
        "ntasks": asked.tasks,
        "constraint": asked.constraint,
    }
    return [*asked.options, *(f"--{name}={value}" for name, value in named.items() if value)]


def _minutes(time_s: float | None, timeout_s: float) -> int | None:
    """Slurm counts in minutes. The job's own timeout is kept by the supervisor, and never later."""
    bounds = [bound for bound in (time_s, timeout_s) if bound]
    return math.ceil(min(bounds) / _SECONDS) if bounds else None


def _processors(asked: int | None, most: float | None) -> int | None:
    """A limit is asked for as well: else a step has what the cluster gives by default."""
    bounds = [bound for bound in (asked, most) if bound]
    return max(1, math.floor(min(bounds))) if bounds else None


def _memory(asked: int | None, most: float | None) -> str | None:
    bounds = [bound for bound in (asked, most) if bound]
    return f"{int(min(bounds)) >> 10}K" if bounds else None
