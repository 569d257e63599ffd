"""What a submission must meet that its JSON Schema can't say.

A body that the schema takes is refused for one of these rules or not at all; whatever it refuses
is refused. They depend on settings, on the host or on bytes, or stand between objects.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec


class Rule(msgspec.Struct, frozen=True):
    """`at`: the pointers of its errors, `*` for any step. `error`: how their details begin, as a
    regular expression. `meaning`: a sentence.
    """

    at: str
    error: str
    meaning: str


RULES: Final = (
    Rule(
        "",
        "expected at most [0-9]+ values",
        "A body has at most 100000 values, and 16 levels of arrays and objects.",
    ),
    Rule(
        "**",
        "expected at most [0-9]+ characters, got",
        "A text has at most 8 Mi characters.",
    ),
    Rule(
        "/OutputLimit",
        "expected at most [0-9]+ bytes, this service's own limit",
        "`OutputLimit` is at most that of the service (`JOBRUNNER_OUTPUT_LIMIT`).",
    ),
    Rule(
        "/Limits/*",
        "expected at most [0-9.]+ [a-z]+, this service's own limit",
        "`Limits` are at most those of the service (`JOBRUNNER_LIMIT_…`).",
    ),
    Rule(
        "/Limits/*",
        "(the service's own limit )?can't be kept: (?!the supervisor that runs )",
        "`Limits` are those that the host can enforce.",
    ),
    Rule(
        "/Priority",
        "expected at most -?[0-9]+, the ceiling of this token",
        "`Priority` is at most the ceiling of the caller's token.",
    ),
    Rule(
        "/Files",
        "expected at most [0-9]+ bytes in all",
        "`Files` have at most 4 MiB in all; larger ones are uploaded to a held job.",
    ),
    Rule(
        "/Files/*",
        "expected (names of at most|a path of less than|no file at|a path that UTF-8)",
        "Paths of `Files` have names of at most 255 bytes, and less than 4096 in all; none is a"
        " directory of another.",
    ),
    Rule(
        "/Files/*",
        "expected exactly one of Text and Base64",
        "A file has `Text` or `Base64`, and not both.",
    ),
    Rule(
        "/Files/*/Base64",
        "expected base64",
        "`Base64` is base64 of RFC 4648, without blanks.",
    ),
    Rule(
        "**",
        "can't be kept: the supervisor that runs is of an older release",
        "A supervisor of an older release refuses what it doesn't know.",
    ),
    Rule(
        "/Commands/*/Shell/0",
        "expected one of the shells that this service allows",
        "`Shell` begins with a name that the service allows (`JOBRUNNER_SHELLS`).",
    ),
    Rule(
        "/Commands/*/Shell",
        "expected an option -c",
        "`Shell` has an option `-c`, if the shell is one of POSIX.",
    ),
    Rule(
        "/Commands/*/**",
        "expected at most [0-9]+ bytes, as the kernel takes no more",
        "One argument has less than 128 KiB; a command line is one, but for shells of POSIX.",
    ),
    Rule(
        "/Commands/*/Network",
        "expected none: this service allows no command the host's network",
        "`Network` is `host` in a sandbox only where the service allows it (`JOBRUNNER_NETWORKS`).",
    ),
    Rule(
        "/Commands/*/Network",
        "can't be kept: this service has no sandbox",
        "`Network` is `none` for bash only where the service has a sandbox.",
    ),
    Rule(
        "/Commands/*/Background",
        "can't be kept: (?!the supervisor that runs )",
        "`Background` is `keep` only where the service allows it (`JOBRUNNER_BACKGROUND`), and has"
        " neither sandbox nor PID namespaces.",
    ),
    Rule(
        "/Commands/*/Network",
        "expected a network that this service allows",
        "`Network` of a container is one that the service allows (`JOBRUNNER_NETWORKS`).",
    ),
    Rule(
        "/Commands/*/*",
        "expected an image that this service allows",
        "An image is one that the service allows (`JOBRUNNER_DOCKER_IMAGES`).",
    ),
    Rule(
        "/Commands/*/CommandLine",
        "expected (words as a shell splits them|at most [0-9]+ characters to split into words)",
        "`CommandLine` of a container can be split into words, and has at most 128 Ki characters.",
    ),
    Rule(
        "/Commands/*/Volumes/*",
        "expected (paths? |no path |a path |a directory of the container )",
        "`Volumes` are printable paths: sources below a directory that the service allows"
        " (`JOBRUNNER_DOCKER_VOLUMES`), and that no job can exchange, targets below `/`.",
    ),
    Rule(
        "/WorkingDir",
        "expected (no path |a path ).*, for the command in a container at ",
        "An absolute `WorkingDir` of a job with a container is a path that `Volumes` may have.",
    ),
    Rule(
        "**/Environment/*",
        "expected a name without blanks and a value of one line",
        "A variable for a container has a name without blanks and a value of one line, and at most"
        " 60000 bytes.",
    ),
    Rule(
        "/Commands/*/Slurm/Options/*",
        "expected (an option that this service allows|none that the service itself sets)",
        "`Options` of Slurm are those that the service allows (`JOBRUNNER_SLURM_OPTIONS`), and none"
        " that it sets itself.",
    ),
    Rule(
        "/TTY",
        "expected none for a job with a command of Slurm",
        "A job with a command of Slurm has no terminal.",
    ),
    Rule(
        "/Limits/*",
        "expected (none|at least 1) for a job with a command of Slurm",
        "`Limits` of a job with a command of Slurm have no `PIDs`, and whole `CPUs`.",
    ),
    Rule(
        "/Limits/Memory",
        "expected at least [0-9]+ bytes for a job with a container",
        "`Limits.Memory` of a job with a container is 0 or at least 6 MiB.",
    ),
)


def rules_of(pointer: str, detail: str) -> list[Rule]:
    """Those that an error at that pointer may be of."""
    return [
        rule
        for rule in RULES
        if re.fullmatch(_pattern(rule.at), pointer, re.DOTALL) and re.match(rule.error, detail)
    ]


def _pattern(at: str) -> str:
    steps = {"**": ".*", "*": "[^/]*"}
    return "".join(steps.get(part, re.escape(part)) for part in re.split(r"(\*\*|\*)", at))
