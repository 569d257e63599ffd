"""Names and sites: which ones are ours."""

import pytest

from service.access.origins import host_name, is_host_allowed, is_loopback, is_own_origin


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("localhost", "localhost"),
        ("LocalHost:8080", "localhost"),
        ("localhost.:8080", "localhost"),
        ("127.0.0.1:1", "127.0.0.1"),
        ("[::1]:8080", "::1"),
        ("[::1]", "::1"),
        ("", ""),
    ],
)
def test_the_name_is_read_whatever_stands_around_it(header, name):
    assert host_name(header) == name


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1", "127.9.9.9", "::1", "LOCALHOST.", "::ffff:127.0.0.1"]
)
def test_names_of_this_box_alone(host):
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    ["", "0.0.0.0", "::",  # noqa: S104 - text
      "10.0.0.1", "example.com", "localhost.example.com", "127.0.0.1.nip.io",
     "xlocalhost", "127.1", "0x7f000001", "::ffff:10.0.0.1"],
)  # fmt: skip
def test_names_that_others_may_have(host):
    assert not is_loopback(host)
    assert not is_host_allowed(host, frozenset(), "127.0.0.1")
    assert not is_host_allowed(host, frozenset({"lab.example"}), "127.0.0.1")


LOCAL = ["127.0.0.1", "::1", "::ffff:127.0.0.1", None]
ELSEWHERE = "192.0.2.7"


@pytest.mark.parametrize("local_ip", [*LOCAL, ELSEWHERE])
def test_a_service_is_called_by_the_names_that_it_was_given(local_ip):
    allowed = frozenset({"lab.example", "10.0.0.1"})
    assert is_host_allowed("Lab.Example:443", allowed, local_ip)
    assert is_host_allowed("10.0.0.1:8080", allowed, local_ip)
    assert not is_host_allowed("x.lab.example", allowed, local_ip)
    assert not is_host_allowed("evil.example", allowed, local_ip)
    assert is_host_allowed("anything", frozenset({"*"}), local_ip)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8080", "[::1]:80", "LOCALHOST.:1"])
def test_the_names_of_loopback_hold_over_loopback_beside_others(host):
    allowed = frozenset({"lab.example"})
    assert all(is_host_allowed(host, allowed, local_ip) for local_ip in LOCAL)
    assert not is_host_allowed(host, allowed, ELSEWHERE)
    assert is_host_allowed(host, frozenset(), ELSEWHERE)  # the only names that it has


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://localhost:8080", "localhost:8080"),
        ("http://localhost", "localhost"),
        ("http://localhost", "localhost:80"),
        ("https://lab.example", "lab.example"),
        ("https://lab.example:443", "Lab.Example"),
        ("http://[::1]:8080", "[::1]:8080"),
    ],
)
def test_a_page_of_our_own(origin, host):
    assert is_own_origin(origin, host)


@pytest.mark.parametrize(
    "origin",
    ["null", "", "http://evil.example", "http://localhost", "http://localhost:8081", "file://",
     "http://localhost:8080.evil.example", "http://evil@localhost:8080", "localhost:8080",
     "chrome-extension://localhost:8080", "http://[::1", "ws://localhost:8080"],
)  # fmt: skip
def test_a_page_of_somebody_else(origin):
    assert not is_own_origin(origin, "localhost:8080")
