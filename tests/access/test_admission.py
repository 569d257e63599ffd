"""Admission, branch by branch: values in, a principal or an error out. No file but the audit log's is touched."""

import asyncio
import json
from types import SimpleNamespace

import pytest

from service.access.admission import Admission
from service.access.audit import AuditLog
from service.access.bounded import BoundedAuditLog
from service.access.incoming import Needs
from service.access.scopes import LOCAL_ADMIN, UNAUTHENTICATED, Principal, Scope
from service.access.tokens import TokenError
from service.errors import (
    HostNotAllowed,
    MissingScope,
    OriginNotAllowed,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
    UnsupportedMediaType,
)
from service.paths import StateDir
from service.settings import Settings

READ = Needs(Scope.READ, changes=False)
RUN = Needs(Scope.RUN, changes=True)
LIVE = Needs(Scope.READ, changes=False, public_path="/health/live")

ANN = Principal("ann", frozenset({Scope.RUN}), "ann-laptop", token_id="1")
BOB = Principal("bob", frozenset({Scope.READ}), "bob-phone", token_id="2")


class Tokens:
    """Tokens that a test hands out and takes back."""

    def __init__(self):
        self.by_text = {"ann's": ANN, "bob's": BOB}
        self.is_enabled = True
        self.is_readable = True

    @property
    def required(self):
        if not self.is_readable:
            raise TokenError("The tokens can't be read.")
        return self.is_enabled

    def principal_of(self, text):
        return self.by_text.get(text)

    def principal_named(self, name):
        return next((p for p in self.by_text.values() if p.token == name), None)

    def is_still_valid(self, principal):
        if not self.required:
            return principal is not UNAUTHENTICATED
        return principal is UNAUTHENTICATED or principal in self.by_text.values()


class Request:
    """What is counted, and aborted."""

    is_aborted = False

    def abort(self):
        self.is_aborted = True


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def tokens():
    return Tokens()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def make(tmp_path, tokens, clock):
    files = AuditLog(tmp_path)

    def make_one(why_exposed=None, **settings):
        settings = Settings.from_environment(
            {f"JOBRUNNER_{k}": str(v) for k, v in settings.items()}
        )
        log = BoundedAuditLog(files, lambda *_: None, clock=clock)
        return Admission(settings, tokens, log, why_exposed=why_exposed, clock=clock)

    yield make_one
    files.close()


@pytest.fixture
def admission(make):
    return make()


def incoming(method="GET", path="/", *, token=None, **fields):
    return SimpleNamespace(
        **{
            "method": method,
            "path": path,
            "head": b"GET / HTTP/1.1\r\nHost: localhost",
            "host": "localhost",
            "origins": [],
            "fetch_sites": [],
            "authorizations": [] if token is None else [f"Bearer {token}"],
            "content_type": None,
            "has_body": False,
            "local_ip": "127.0.0.1",
            "client_ip": "192.0.2.1",
            "peer_uid": None,
            "certificate_name": None,
            "login": None,
            "is_navigation": False,
            **fields,
        }
    )


def refusals(tmp_path):
    path = StateDir(tmp_path).audit_log
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [(line["principal"], line["code"], line["request"]) for line in lines]


# ------------------------------------------------------------------------------ open service


def test_without_tokens_everybody_here_may_do_everything(admission, tokens):
    tokens.is_enabled = False
    asked = incoming("POST", content_type="application/json")
    assert admission.admit(Request(), asked, RUN) is LOCAL_ADMIN
    assert admission.admit(Request(), incoming(), LIVE) is LOCAL_ADMIN


@pytest.mark.parametrize("local_ip", ["127.0.0.1", "::1", None])
def test_without_tokens_loopback_and_unix_sockets_are_served(admission, tokens, local_ip):
    tokens.is_enabled = False
    assert admission.admit(Request(), incoming(local_ip=local_ip), READ) is LOCAL_ADMIN


@pytest.mark.parametrize(
    ("fields", "detail"),
    [
        ({"local_ip": "192.0.2.7"}, "for its own host only"),
        ({"head": b"GET / HTTP/1.1\r\nX-Forwarded-For: 192.0.2.9"}, "'X-Forwarded-For'"),
    ],
)
def test_without_tokens_nobody_comes_from_elsewhere(admission, tokens, tmp_path, fields, detail):
    tokens.is_enabled = False
    with pytest.raises(Unauthenticated, match=detail):
        admission.admit(Request(), incoming(**fields), LIVE)  # nor to what is public
    assert refusals(tmp_path) == [(None, "unauthenticated", "GET /")]


def test_without_tokens_an_exposed_service_serves_nobody(make, tokens):
    tokens.is_enabled = False
    with pytest.raises(Unauthenticated, match="a proxy is set up"):
        make(why_exposed="a proxy is set up").admit(Request(), incoming(), READ)


# ------------------------------------------------------------------------------ authentication


def test_a_token_says_who_calls(admission):
    assert admission.admit(Request(), incoming(token="ann's"), READ) is ANN
    asked = incoming(authorizations=["bEaReR  bob's "])
    assert admission.admit(Request(), asked, READ) is BOB


def test_a_public_path_needs_no_token_and_looks_at_none(admission):
    for token in (None, "wrong"):
        asked = incoming(path="/health/live", token=token)
        assert admission.admit(Request(), asked, LIVE) is UNAUTHENTICATED


@pytest.mark.parametrize("path", ["/health/live/", "//health/live", "/Health/live"])
def test_another_spelling_of_a_public_path_needs_a_token(admission, path):
    with pytest.raises(Unauthenticated):
        admission.admit(Request(), incoming(path=path), LIVE)
    assert admission.admit(Request(), incoming(path=path, token="bob's"), LIVE) is BOB


@pytest.mark.parametrize(
    ("authorizations", "is_wrong"),
    [
        ([], False),
        (["Bearer wrong"], True),
        (["Bearer"], True),
        (["Basic ann's"], True),
        (["Bearer ann's", "Bearer ann's"], True),
    ],
)
def test_without_one_good_token_nobody_is_admitted(admission, authorizations, is_wrong, tmp_path):
    with pytest.raises(Unauthenticated) as refused:
        admission.admit(Request(), incoming(authorizations=authorizations), READ)
    assert refused.value.is_wrong is is_wrong
    assert len(admission.in_flight) == 0
    assert refusals(tmp_path) == [(None, "unauthenticated", "GET /")]


def test_a_revoked_token_is_as_a_wrong_one(admission, tokens):
    admission.admit(Request(), incoming(token="ann's"), READ)
    del tokens.by_text["ann's"]
    with pytest.raises(Unauthenticated):
        admission.admit(Request(), incoming(token="ann's"), READ)


def test_a_certificate_stands_for_the_token_of_its_name_and_never_beside_one(admission):
    named = {"certificate_name": "bob-phone"}
    assert admission.admit(Request(), incoming(**named), READ) is BOB
    assert admission.admit(Request(), incoming(token="ann's", **named), READ) is ANN
    for asked in (
        incoming(token="wrong", **named),
        incoming(certificate_name="carl-desk"),
    ):
        with pytest.raises(Unauthenticated):
            admission.admit(Request(), asked, READ)


def test_while_tokens_cannot_be_read_nobody_is_admitted(admission, tokens, tmp_path):
    tokens.is_readable = False
    with pytest.raises(Unavailable, match="can't be read"):
        admission.admit(Request(), incoming(path="/health/live", token="ann's"), LIVE)
    assert refusals(tmp_path) == []


# ------------------------------------------------------------------------------ authorization


def test_a_scope_that_does_not_suffice_is_named_and_audited(admission, tmp_path):
    asked = incoming("DELETE", "/x", token="bob's")
    with pytest.raises(MissingScope) as refused:
        admission.admit(Request(), asked, RUN)
    assert refused.value.scope == "run"
    assert refusals(tmp_path) == [("bob", "missing_scope", "DELETE /x")]
    assert admission.admit(Request(), incoming("DELETE", "/x", token="ann's"), RUN) is ANN


@pytest.mark.parametrize(
    ("content_type", "has_body", "is_taken"),
    [
        ("application/json", True, True),
        ("Application/JSON; charset=utf-8", True, True),
        (None, False, True),
        (None, True, False),
        ("text/plain", False, False),
        ("application/x-www-form-urlencoded", True, False),
    ],
)
def test_what_changes_something_is_no_form(admission, content_type, has_body, is_taken):
    asked = incoming("POST", token="ann's", content_type=content_type, has_body=has_body)
    if is_taken:
        assert admission.admit(Request(), asked, RUN) is ANN
        return
    with pytest.raises(UnsupportedMediaType):
        admission.admit(Request(), asked, RUN)
    assert len(admission.in_flight) == 0


def test_what_changes_nothing_may_be_of_any_type(admission):
    asked = incoming(token="ann's", content_type="text/plain", has_body=True)
    assert admission.admit(Request(), asked, READ) is ANN


# ------------------------------------------------------------------------------ site


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"host": "evil.example", "path": "/health/live/"}, HostNotAllowed),
        ({"host": "evil.example", "path": "/health/live/x"}, HostNotAllowed),
        ({"host": "evil.example", "path": "/"}, HostNotAllowed),
        ({"origins": ["http://evil.example"]}, OriginNotAllowed),
        ({"origins": ["http://localhost", "null"]}, OriginNotAllowed),
        ({"host": None, "origins": ["http://localhost"]}, OriginNotAllowed),
        ({"fetch_sites": ["cross-site"]}, OriginNotAllowed),
    ],
)
def test_no_page_of_another_site_gets_in_whoever_sits_before_it(admission, tmp_path, fields, error):
    asked = incoming(**{"path": "/health/live", "token": "ann's", **fields})
    with pytest.raises(error):
        admission.admit(Request(), asked, LIVE)
    assert refusals(tmp_path) == [(None, error.code, f"GET {asked.path}")]


@pytest.mark.parametrize("host", ["evil.example", "10.0.0.1:8080", "[::1", ""])
def test_health_is_asked_for_by_any_name(admission, host):
    for local_ip in ("127.0.0.1", "192.0.2.7"):
        asked = incoming(path="/health/live", host=host, local_ip=local_ip)
        assert admission.admit(Request(), asked, LIVE) is UNAUTHENTICATED


def test_names_of_loopback_hold_over_loopback_whatever_else_is_allowed(make):
    admission = make(ALLOWED_HOSTS="lab.example")
    for host in ("localhost:8080", "127.0.0.1", "[::1]:1", "lab.example"):
        assert admission.admit(Request(), incoming(token="ann's", host=host), READ) is ANN
    for fields in ({"host": "evil.example"}, {"host": "localhost", "local_ip": "192.0.2.7"}):
        with pytest.raises(HostNotAllowed):
            admission.admit(Request(), incoming(token="ann's", **fields), READ)


@pytest.mark.parametrize(
    "fields",
    [
        {"host": None},
        {"origins": ["http://localhost"], "fetch_sites": ["same-origin"]},
        {"fetch_sites": ["none"]},
    ],
)
def test_pages_of_its_own_and_programs_get_in(admission, fields):
    assert admission.admit(Request(), incoming(token="ann's", **fields), READ) is ANN


PAGE = {"origins": ["https://ui.example"], "fetch_sites": ["cross-site"]}


def test_a_page_of_a_site_that_the_operator_named_calls_with_a_token_alone(make):
    admission = make(ALLOWED_ORIGINS="https://ui.example, https://other.example:8443")
    assert admission.admit(Request(), incoming(token="ann's", **PAGE), READ) is ANN
    assert admission.admit(Request(), incoming(path="/health/live", **PAGE), LIVE)
    for more in ({}, {"certificate_name": "bob-phone"}):
        with pytest.raises(Unauthenticated):
            admission.admit(Request(), incoming(**PAGE, **more), READ)
    named = incoming(certificate_name="bob-phone")  # by no page
    assert admission.admit(Request(), named, READ) is BOB


@pytest.mark.parametrize(
    "fields",
    [
        {"origins": ["https://evil.example"]},
        {"origins": ["https://ui.example.evil"]},
        {"origins": ["http://ui.example"]},
        {"origins": ["https://ui.example:8443"]},
        {"origins": ["null"]},
        {"origins": ["https://ui.example", "https://ui.example"]},
        {"origins": ["https://ui.example", "https://evil.example"]},
        {"origins": [], "fetch_sites": ["cross-site"]},  # as of an image, or a form
    ],
)
def test_a_page_of_any_other_site_calls_nothing_whatever_it_shows(make, fields):
    admission = make(ALLOWED_ORIGINS="https://ui.example")
    with pytest.raises(OriginNotAllowed):
        admission.admit(Request(), incoming(token="ann's", **fields), READ)


def test_a_page_of_a_named_site_still_calls_the_service_by_a_name_of_its_own(make):
    admission = make(ALLOWED_ORIGINS="https://ui.example")
    for method in ("GET", "OPTIONS"):
        asked = incoming(method, host="evil.example", token="ann's", **PAGE)
        with pytest.raises(HostNotAllowed):
            admission.admit(Request(), asked, Needs(Scope.READ, changes=False, public_path="/x"))


# ------------------------------------------------------------------------------ bounds


def test_a_principal_that_asks_too_often_waits_and_another_does_not(make, clock):
    admission = make(RATE_LIMIT=2)
    for _ in range(4):  # two seconds' worth at once
        admission.admit(Request(), incoming(token="ann's"), READ)
    with pytest.raises(TooManyRequests) as refused:
        admission.admit(Request(), incoming(token="ann's"), READ)
    assert refused.value.retry_after_s == 1
    assert admission.admit(Request(), incoming(token="bob's"), READ) is BOB
    clock.now += 1
    assert admission.admit(Request(), incoming(token="ann's"), READ) is ANN


def test_an_address_that_is_refused_too_often_is_told_to_wait(make, clock):
    admission = make(AUTH_FAILURES=3)
    for _ in range(3):
        with pytest.raises(Unauthenticated):
            admission.admit(Request(), incoming(), READ)
    with pytest.raises(TooManyRequests) as refused:
        admission.admit(Request(), incoming(), READ)
    assert isinstance(refused.value.__cause__, Unauthenticated)
    with pytest.raises(Unauthenticated):
        admission.admit(Request(), incoming(client_ip="192.0.2.2"), READ)
    assert admission.admit(Request(), incoming(token="ann's"), READ) is ANN  # is not refused
    clock.now += 60
    with pytest.raises(Unauthenticated):
        admission.admit(Request(), incoming(), READ)


def test_over_a_unix_socket_each_user_counts_as_a_caller(make, tmp_path):
    admission = make(AUTH_FAILURES=1)

    def refused(**fields):
        with pytest.raises((Unauthenticated, TooManyRequests)) as error:
            admission.admit(Request(), incoming(local_ip=None, **fields), READ)
        return error.type

    assert refused(client_ip="", peer_uid=7) is Unauthenticated
    assert refused(client_ip="", peer_uid=7) is TooManyRequests
    assert refused(client_ip="", peer_uid=0) is Unauthenticated
    # A proxy, which names the address.
    assert refused(client_ip="192.0.2.1", peer_uid=7) is Unauthenticated
    lines = [json.loads(x) for x in StateDir(tmp_path).audit_log.read_text().splitlines()]
    assert [(x.get("of"), x["uid"]) for x in lines] == [
        (None, 7),
        (None, 7),
        (None, 0),
        ("192.0.2.1", 7),
    ]


def test_requests_in_flight_are_bounded_for_each_principal(make, tokens):
    admission, first = make(MAX_REQUESTS=1), Request()
    admission.admit(first, incoming(token="ann's"), READ)
    with pytest.raises(TooManyRequests, match="under way"):
        admission.admit(Request(), incoming(token="ann's"), READ)
    assert admission.admit(Request(), incoming(token="bob's"), READ) is BOB
    admission.leave(first)
    assert admission.admit(Request(), incoming(token="ann's"), READ) is ANN
    tokens.is_enabled = False
    for _ in range(3):  # nobody is to be protected from another
        assert admission.admit(Request(), incoming(), READ) is LOCAL_ADMIN


def test_the_address_and_the_certificate_are_read_only_when_needed(admission):
    asked = incoming(token="ann's")
    del asked.client_ip, asked.peer_uid, asked.certificate_name
    assert admission.admit(Request(), asked, READ) is ANN


# ------------------------------------------------------------------------------ what comes after


def test_what_a_revoked_token_has_in_flight_is_aborted_and_nothing_else(admission, tokens):
    anns, bobs, health = Request(), Request(), Request()
    admission.admit(anns, incoming(token="ann's"), READ)
    admission.admit(bobs, incoming(token="bob's"), READ)
    admission.admit(health, incoming(path="/health/live"), LIVE)
    del tokens.by_text["ann's"]
    admission.in_flight.abort_invalid()
    assert [r.is_aborted for r in (anns, bobs, health)] == [True, False, False]


def test_the_first_token_aborts_what_the_open_service_let_in(admission, tokens):
    tokens.is_enabled, request = False, Request()
    admission.admit(request, incoming(), READ)
    admission.in_flight.abort_invalid()
    assert not request.is_aborted
    tokens.is_enabled = True
    admission.in_flight.abort_invalid()
    assert request.is_aborted


def test_tokens_that_cannot_be_read_abort_what_is_in_flight(admission, tokens):
    request = Request()
    admission.admit(request, incoming(token="ann's"), READ)
    tokens.is_readable = False
    admission.in_flight.abort_invalid()
    assert request.is_aborted


async def test_a_token_that_expires_aborts_its_requests_by_itself(admission, tokens):
    expired = asyncio.Event()

    class Waiting(Request):
        def abort(self):
            super().abort()
            expired.set()

    tokens.by_text["soon"] = Principal(
        "carl", frozenset({Scope.READ}), "c", token_id="3", expires_at=1
    )
    request = Waiting()
    admission.admit(request, incoming(token="soon"), READ)
    del tokens.by_text["soon"]
    async with asyncio.timeout(60):
        await expired.wait()
    admission.leave(request)
    admission.in_flight.close()
    assert len(admission.in_flight) == 0
