"""Requests whose token ends while they are under way."""

from __future__ import annotations

import asyncio
import time

from service.access.in_flight import InFlight
from service.access.scopes import Principal, Scope


class Request:
    def __init__(self) -> None:
        self.aborted = asyncio.Event()

    def abort(self) -> None:
        self.aborted.set()


async def test_a_token_that_ends_while_it_is_judged_is_judged_again() -> None:
    first_ends, second_ends = (time.time_ns() + ms * 1_000_000 for ms in (50, 100))
    judged: list[str | None] = []

    def is_valid(principal: Principal) -> bool:
        assert principal.expires_at is not None
        found = time.time_ns() < principal.expires_at
        if not judged:  # the other token ends before the next look at the clock
            while time.time_ns() <= second_ends:
                pass
        judged.append(principal.name)
        return found

    in_flight = InFlight(is_valid)
    second, first = Request(), Request()
    in_flight.enter(second, principal("second", second_ends))
    in_flight.enter(first, principal("first", first_ends))
    await asyncio.wait_for(asyncio.gather(second.aborted.wait(), first.aborted.wait()), 300)
    in_flight.close()
    assert judged[0] == "second"


def principal(name: str, expires_at: int) -> Principal:
    return Principal(name=name, scopes=frozenset({Scope.READ}), expires_at=expires_at)
