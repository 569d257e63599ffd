"""What schemathesis can't know from the description: which valid values go together."""

from __future__ import annotations

import uuid
from typing import Any

import schemathesis

# A cursor that stands before every job.
FIRST = "czA"


@schemathesis.hook
def before_call(_context: Any, case: Any, _options: Any) -> None:
    """Of a request that is to be valid: `after` is opaque, only the service makes one; and a key
    that was used for another body is refused whatever it looks like.
    """
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if case.query and "after" in case.query:
        case.query["after"] = FIRST
    if case.headers and "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = str(uuid.uuid4())
