"""What a flow asks of the rim: the protocol between the sans-I/O core and the two clients.

A flow is a generator. It yields steps, is sent what came of each, and returns its result. It knows
no socket, no thread and no event loop, so that one core serves `Client` and `AsyncClient`, and
tests can feed it every cut that there is.

Rules
1. `Open` is answered with a `Head` or a `Failure`. It ends the exchange before it.
2. `Read` is answered with bytes, with b"" at a clean end, or with a `Failure`.
3. `Pause` and `Emit` are answered with None. What is emitted is the caller's; whoever continues
   may take any time.
4. An exception that a flow raises is the caller's.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, Final, Generic, TypeAlias, TypeVar

import msgspec

from service.client.bodies import Streamed

T = TypeVar("T")
U = TypeVar("U")
R = TypeVar("R")

Query: TypeAlias = Sequence[tuple[str, str]]
"""Parameters in order; a name may come twice."""

# Seconds without a byte after which a connection is given up: three heartbeats of the service.
SILENCE_S: Final = 45.0


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One request. `path` is below the address of the service.

    Attributes:
        query: in order; a name may come twice.
        is_repeatable: to send it twice does what to send it once does.
        silence_s: how long nothing may come before the connection is given up.
        media: the media type of what is asked for, where it is one. An answer of another isn't the
            service's.
    """

    method: str = "GET"
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | Streamed | None = None
    is_repeatable: bool = True
    silence_s: float = SILENCE_S
    media: str | None = None


class Head(msgspec.Struct, frozen=True):
    """The head of a response; names of headers in any case."""

    status: int
    headers: Mapping[str, str]


class Failure(msgspec.Struct, frozen=True):
    """The connection failed, or was cut. `was_sent`: the service may have got the request."""

    why: str
    was_sent: bool = True


class Open(msgspec.Struct, frozen=True):
    request: Request


class Read(msgspec.Struct, frozen=True):
    pass


class Pause(msgspec.Struct, frozen=True):
    seconds: float


class Emit(msgspec.Struct, Generic[T], frozen=True):
    item: T


Flow: TypeAlias = Generator[Open | Read | Pause | Emit[T], Any, R]
Nothing: TypeAlias = Generator[Open | Read | Pause, Any, R]
"""A flow that emits nothing."""

READ: Final = Read()


def taking(flow: Flow[T, R], take: Callable[[T], None]) -> Nothing[R]:
    """The flow, with what it emits given to `take`."""
    answer: Any = None
    while True:
        try:
            step = flow.send(answer)
        except StopIteration as end:
            result: R = end.value
            return result
        if isinstance(step, Emit):
            take(step.item)
            answer = None
        else:
            answer = yield step


def mapped(
    flow: Flow[T, R], each: Callable[[T], list[U]], last: Callable[[], list[U]] = list
) -> Flow[U, R]:
    """The flow, with what `each` makes of what it emits, and `last` at its end."""
    answer: Any = None
    while True:
        try:
            step = flow.send(answer)
        except StopIteration as end:
            for item in last():
                yield Emit(item)
            result: R = end.value
            return result
        answer = None
        if isinstance(step, Emit):
            for item in each(step.item):
                yield Emit(item)
        else:
            answer = yield step
