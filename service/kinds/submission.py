"""A validated job as the submission that it came from, so that it can be submitted again."""

from __future__ import annotations

from typing import Any, Final

from service.jobs.merge_patch import merged
from service.jobs.spec import JobSpec
from service.kinds.canonical import asked
from service.kinds.validation import DEFAULT_KIND

# Keys of a spec that a submission has under other names.
_NAMES: Final = {
    "TimeoutS": "Timeout",
    "IdleTimeoutS": "IdleTimeout",
    "QueueTimeoutS": "QueueTimeout",
    "GraceS": "Grace",
}
# Two ways to say what is run.
_EITHER: Final = (("CommandLine", "Commands"), ("Commands", "CommandLine"))


def submission_of(spec: JobSpec) -> dict[str, Any]:
    """What leads to this job, in the shortest form."""
    found = {_NAMES.get(key, key): value for key, value in asked(spec).items()}
    match found["Commands"]:
        case [{"Kind": kind, "CommandLine": line, **others}] if kind == DEFAULT_KIND and not others:
            del found["Commands"]
            found["CommandLine"] = line
    return found


def changed(spec: JobSpec, patch: dict[str, Any]) -> dict[str, Any]:
    """The submission after a merge patch. `CommandLine` and `Commands` replace each other: a caller
    needn't know in which way the job says what is run.
    """
    found = submission_of(spec)
    for given, other in _EITHER:
        if patch.get(given) is not None:
            found.pop(other, None)
    return merged(found, patch)  # type: ignore[no-any-return]  # an object, as the patch is one
