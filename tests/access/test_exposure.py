"""What makes a service without tokens reachable from elsewhere is found; what doesn't is not."""

import pytest

from service.access.exposure import proxy_field, why_exposed
from service.kinds.settings import read_settings


def settings(hosts=""):
    return read_settings({"JOBRUNNER_STATE_DIR": "/nowhere", "JOBRUNNER_ALLOWED_HOSTS": hosts})


def test_a_site_whose_pages_may_call_needs_tokens():
    named = {"JOBRUNNER_STATE_DIR": "/nowhere", "JOBRUNNER_ALLOWED_ORIGINS": "https://ui.example"}
    why = why_exposed(read_settings(named), {}, "127.0.0.1")
    assert "https://ui.example" in why
    assert "jobrunner token create" in why


@pytest.mark.parametrize("hosts", ["", "localhost", "127.0.0.1,[::1],LOCALHOST,127.9.9.9"])
@pytest.mark.parametrize("listens_on", ["127.0.0.1", "::1", "localhost"])
def test_a_service_of_its_own_host_is_not_exposed(hosts, listens_on):
    unset = {"PROXIES_COUNT": None, "REAL_IP_HEADER": "", "FORWARDED_SECRET": None}
    assert why_exposed(settings(hosts), unset, listens_on) is None
    assert why_exposed(settings(hosts), {}, listens_on) is None


@pytest.mark.parametrize(
    ("hosts", "sanic", "listens_on", "named"),
    [
        ("", {}, "0.0.0.0", "0.0.0.0"),  # noqa: S104 - nothing listens
        ("", {}, "::", "::"),
        ("", {}, "localhost.example", "localhost.example"),
        ("*", {}, "127.0.0.1", "*"),
        ("localhost,jobs.example", {}, "127.0.0.1", "jobs.example"),
        ("10.0.0.1", {}, "127.0.0.1", "10.0.0.1"),
        ("", {"PROXIES_COUNT": 1}, "127.0.0.1", "SANIC_PROXIES_COUNT"),
        ("", {"REAL_IP_HEADER": "x-real-ip"}, "127.0.0.1", "SANIC_REAL_IP_HEADER"),
        ("", {"FORWARDED_SECRET": "s"}, "127.0.0.1", "SANIC_FORWARDED_SECRET"),
    ],
)
def test_what_exposes_it_is_named_with_what_to_do(hosts, sanic, listens_on, named):
    why = why_exposed(settings(hosts), sanic, listens_on)
    assert named in why
    assert "jobrunner token create" in why


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ("Forwarded: for=1", "Forwarded"),
        ("X-Forwarded-For: 1", "X-Forwarded-For"),
        ("x-forwarded-anything: 1", "x-forwarded-anything"),
        ("X-Forwarded:1", "X-Forwarded"),
        ("VIA: 1.1 a", "VIA"),
        ("X-Real-IP: 1", "X-Real-IP"),
        ("CF-Connecting-IP: 1", "CF-Connecting-IP"),
        ("X-Via: 1", None),
        ("Viable: 1", None),
        ("User-Agent: via forwarded: x-forwarded-for: 1", None),
        ("X-Forwardedfor: 1", None),
    ],
)
def test_the_field_of_a_proxy_is_found_by_its_name(line, field):
    for head in (f"GET / HTTP/1.1\r\nHost: a\r\n{line}", f"GET / HTTP/1.1\r\n{line}\r\nHost: a"):
        assert proxy_field(head.encode()) == field
    assert proxy_field(b"GET /via:/forwarded: HTTP/1.1\r\nHost: a") is None
