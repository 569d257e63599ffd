"""Where requests go."""

from __future__ import annotations

from pathlib import Path

import jobrunner
import pytest

from service.client.address import VARIABLES, address_of
from service.settings.unknown import OF_CLIENTS

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("url", "base", "socket", "is_local"),
    [
        (None, "http://127.0.0.1:8080", None, True),
        ("http://localhost:1/", "http://localhost:1", None, True),
        ("http://[::1]:80", "http://[::1]:80", None, True),
        ("https://build.example/jobs/", "https://build.example/jobs", None, False),
        ("http://192.0.2.1", "http://192.0.2.1", None, False),
        ("unix:///run/a%20b.sock", "http://localhost", "/run/a b.sock", True),
        ("unix:/run/http.sock", "http://localhost", "/run/http.sock", True),
    ],
)
def test_addresses(url, base, socket, is_local):
    address = address_of(url, environment={})
    assert (address.base, address.socket, address.is_local) == (base, socket, is_local)
    assert address.is_tls == base.startswith("https")


@pytest.mark.parametrize(
    "url", ["localhost:8080", "ftp://host", "http://", "unix://relative", "http://h/?q", "unix:"]
)
def test_an_url_of_another_form_is_refused(url):
    with pytest.raises(ValueError, match=r"such as http://.* got"):
        address_of(url, environment={})


def test_a_password_in_an_url_is_refused_and_not_repeated():
    with pytest.raises(ValueError, match="JOBRUNNER_TOKEN") as raised:
        address_of("http://user:secret@host", environment={})
    assert "secret" not in str(raised.value)


def test_the_environment_gives_what_arguments_do_not(tmp_path):
    file = tmp_path / "token"
    file.write_text("from-file\n")
    environment = {"JOBRUNNER_URL": "http://e", "JOBRUNNER_TOKEN_FILE": str(file)}
    assert address_of(environment=environment).token == "from-file"
    assert address_of("http://a", environment=environment).base == "http://a"
    environment["JOBRUNNER_TOKEN"] = "from-variable"
    assert address_of(environment=environment).token == "from-variable"
    assert address_of(None, "given", environment).token == "given"


def test_a_token_is_not_shown():
    assert "s3cret" not in repr(address_of(None, "s3cret", {}))


def test_the_service_does_not_take_these_variables_for_misspelt_settings():
    assert set(VARIABLES) == OF_CLIENTS


@pytest.mark.parametrize("make", [jobrunner.Client, jobrunner.AsyncClient])
@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_certificate_that_cannot_be_read_is_named(tmp_path: Path, make, content):
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(OSError, match=f"CA's certificate can't be read from {path}: "):
        make("https://127.0.0.1:1", verify=str(path))
