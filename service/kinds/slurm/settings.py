"""Settings of commands on a Slurm cluster."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from service.kinds.slurm.names import name_or_none
from service.settings import KindSettings, setting
from service.settings.readers import program, words


@dataclass(frozen=True, kw_only=True)
class SlurmSettings(KindSettings):
    """The client that runs commands on a cluster, and what the operator sets and allows there."""

    # Where the cluster is, and what its programs do by default. Not what describes a job of Slurm
    # that the service itself may run in: srun would make a step of that instead of a job.
    passed_variables: ClassVar[re.Pattern[str]] = re.compile(
        r"SLURM_(?!ARRAY_|CLUSTER_NAME|CPU|DISTRIBUTION|EXPORT_ENV|GET_USER_ENV|GPU|GTIDS|HET_|JOB"
        r"|LAUNCH_|LOCALID|MEM_|NNODES|NODE|NPROCS|NTASKS|PACK|PRIO_|PROCID|PTY|RESTART|RLIMIT"
        r"|SRUN_|STD|STEP|SUBMIT|TASK|THREADS|TOPOLOGY|TRES|UMASK|UNBUFFEREDIO|WORKING_).*"
    )

    srun: str = setting(
        program,
        "srun",
        "a program's name, or its absolute path",
        "the client that runs commands of the kind `slurm`; Slurm's other programs are looked for"
        " beside it, then in `PATH`",
    )
    slurm_options: tuple[str, ...] = setting(
        words(r"[a-z][a-z0-9-]*"),
        "",
        "names of options without dashes, with blanks between",
        "options of `srun` that a command may have in `Options`, by their long names without"
        " dashes, with blanks between; default none",
    )
    slurm_partition: str = setting(
        name_or_none,
        "",
        "the name of a partition",
        "the partition of a command that doesn't ask for one; default that of the cluster",
    )
    slurm_account: str = setting(
        name_or_none,
        "",
        "the name of an account",
        "the account of a command that doesn't ask for one; default that of its user",
    )
