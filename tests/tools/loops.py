"""Tests that run on each kind of event loop."""

from __future__ import annotations

import asyncio
import functools
import inspect
from typing import TYPE_CHECKING, Any

import pytest
import uvloop

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

FUSE_S = 300
"""A test that hangs fails after this time; none waits for it."""


def on_both_loops(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Runs the test once on asyncio's own loop, and once on uvloop."""

    @functools.wraps(test)
    def run(loop_factory: Callable[[], asyncio.AbstractEventLoop], **arguments: Any) -> None:
        async def fused() -> None:
            async with asyncio.timeout(FUSE_S):
                await test(**arguments)

        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(fused())

    signature = inspect.signature(test)
    keyword = inspect.Parameter.KEYWORD_ONLY
    own = inspect.Parameter("loop_factory", keyword)
    given = [parameter.replace(kind=keyword) for parameter in signature.parameters.values()]
    run.__signature__ = signature.replace(parameters=[own, *given])  # type: ignore[attr-defined]
    factories = (asyncio.new_event_loop, uvloop.new_event_loop)
    on_each = pytest.mark.parametrize("loop_factory", factories, ids=("asyncio", "uvloop"))
    marked: Callable[..., None] = on_each(run)
    return marked
