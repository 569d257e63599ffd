"""What goes wrong, as a sentence that a model can act on."""

from __future__ import annotations

from service.errors import InvalidJob
from service.mcp.answers import shortened
from service.mcp.deadline import CALL_S


class ToolFailed(Exception):
    """With a sentence for whoever called the tool."""


def told(error: Exception) -> str:
    """The sentence; of a job that isn't valid, what is wrong with it as well."""
    if isinstance(error, TimeoutError):
        return f"The service took longer than {CALL_S:g} s."
    said = str(error)
    if isinstance(error, InvalidJob):
        said += "".join(f" {each.pointer or '/'}: {each.detail}" for each in error.errors)
    return shortened(said)
