"""Addresses as they are written and counted: one form for one caller."""

import pytest

from service.access.addresses import network, parsed


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("1.2.3.4", "1.2.3.4"),
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("[2001:DB8::1]", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("", None),
        ("[::1", None),
        ("unknown", None),
        ("_hidden", None),
        ("1.2.3.4.5", None),
        ("1.2.3.4:80", None),
        ("\udcff\udcfe", None),
        ("1.2.3.4\n", None),
        ("١.2.3.4", None),
        ("fe80::1%\u202e", "fe80::1"),
    ],
)
def test_an_address_has_one_form_and_what_is_none_has_none(text, address):
    assert parsed(text) == address


def test_a_64_of_ipv6_is_one_caller():
    assert network("2001:db8:0:1::1") == network("2001:db8:0:1:ffff::2") == "2001:db8:0:1::/64"
    assert network("2001:db8:0:2::1") != network("2001:db8:0:1::1")
    assert network("::ffff:1.2.3.4") == network("1.2.3.4") == "1.2.3.4"
    assert network("") == ""
