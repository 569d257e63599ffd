"""Names that Slurm's programs take as the value of an option.

None has a blank, a quote or a control character: they stand in argument lists of ours, and in what
Slurm prints.
"""

from __future__ import annotations

import re
from typing import Final

# Of a partition, an account or a quality of service; more than one with commas between.
NAME: Final = r"[A-Za-z0-9_][A-Za-z0-9_.@,+-]*"
# Features of nodes, and what combines them. Source: srun(1), --constraint.
CONSTRAINT: Final = r"[A-Za-z0-9_(\[!][A-Za-z0-9_.,:=*&|()\[\]!-]*"
# A number of GPUs, or of a type of them. Source: srun(1), --gpus.
GPUS: Final = r"([A-Za-z][A-Za-z0-9_.-]*:)?[1-9][0-9]{0,4}"
MAX_CHARS: Final = 256

_name: Final = re.compile(NAME)


def name_or_none(text: str) -> str:
    """A setting's reader. Raises: ValueError."""
    if text and not (len(text) <= MAX_CHARS and _name.fullmatch(text)):
        raise ValueError(text)
    return text
