"""Who is closed when there is one connection too many."""

from __future__ import annotations

import pytest

from service.web.strangers import Strangers, network_of


class Some:
    def __init__(self, closed: list[Some]) -> None:
        self._closed = closed

    def evict(self) -> None:
        self._closed.append(self)


def test_the_oldest_is_closed_for_one_more():
    closed: list[Some] = []
    strangers = Strangers(3, 10_000)
    some = [Some(closed) for _ in range(5)]
    for one in some:
        strangers.add(one, "127.0.0.1")
    assert closed == some[:2]
    assert len(strangers) == 3


def test_who_is_known_is_not_closed_and_makes_room():
    closed: list[Some] = []
    strangers = Strangers(2, 10_000)
    first, second, third = (Some(closed) for _ in range(3))
    strangers.add(first, "")
    strangers.add(second, "")
    strangers.discard(first)
    strangers.discard(first)
    strangers.add(third, "")
    assert not closed


def test_one_address_closes_only_its_own():
    closed: list[Some] = []
    strangers = Strangers(40, 10_000)
    other = Some(closed)
    strangers.add(other, "192.0.2.1")
    some = [Some(closed) for _ in range(25)]
    for one in some:
        strangers.add(one, "192.0.2.2")
    assert closed == some[:15]
    assert len(strangers) == 11


def test_many_addresses_are_bounded_in_all():
    closed: list[Some] = []
    strangers = Strangers(40, 10_000)
    for number in range(200):
        strangers.add(Some(closed), f"192.0.2.{number}")
    assert len(strangers) == 40
    assert len(closed) == 160


@pytest.mark.parametrize(
    ("descriptors", "most"),
    [(64, 32), (256, 128), (1024, 768), (20_000, 10_000), (1 << 20, 10_000)],
)
def test_it_is_always_below_what_descriptors_there_are(descriptors: int, most: int):
    assert Strangers(10_000, descriptors).most == most
    assert Strangers(0, descriptors).most < descriptors


def test_a_network_of_ipv6_is_one_client():
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff:1")
    assert network_of("2001:db8::1") != network_of("2001:db8:0:1::1")
    assert network_of("fe80::1%eth0") == network_of("fe80::2")
    assert network_of("::ffff:192.0.2.1") != network_of("::ffff:192.0.2.2")
    assert {network_of(a) for a in ("", "127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1")} == {
        ""
    }
