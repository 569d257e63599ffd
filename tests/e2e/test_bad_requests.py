"""Requests that are wrong: each is answered by a problem document that names the place, nothing of
it is stored or started, and none is taken for an error of the service's own.
"""

from __future__ import annotations

import json
import re
import select
import socket
import string
from typing import Any
from urllib.parse import quote_from_bytes

import httpx
import pytest
from answers import assert_problem, every_id, pointers, raw
from hypothesis import given, settings
from hypothesis import strategies as st
from running import Service

pytestmark = pytest.mark.e2e

JSON = {"Content-Type": "application/json"}
RUNS = {"CommandLine": "true"}
# Seconds: a fuse.
FUSE_S = 300.0


@pytest.fixture(scope="module")
def finished(service: Service) -> str:
    job_id: str = service.run("echo hello")["ID"]
    return job_id


def refused(
    service: Service, body: bytes, status: int, headers: dict[str, str] | None = None
) -> dict[str, Any]:
    """The problem document that this submission is answered with; nothing was stored."""
    before = every_id(service)
    answer = service.client.post("/", content=body, headers=JSON if headers is None else headers)
    document = assert_problem(answer, status)
    assert every_id(service) == before
    return document


# Bodies


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b'{"CommandLine": "true"',
        b'{"CommandLine": "true"} x',
        b'{"CommandLine": true',
        b"[1, 2",
        b"CommandLine=true",
        b"'x'",
        b'{"CommandLine": "\xff"}',
        b'{"CommandLine": "\\ud800"}',
        b'{"Timeout": NaN}',
        b'\xff\xfe{\x00"\x00',
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
)
def test_body_that_is_not_json_is_400(service: Service, body: bytes):
    document = refused(service, body, 400)
    assert document["detail"].startswith("Expected a JSON object, got ")


@pytest.mark.parametrize("body", [b"[]", b"[{}]", b"1", b"1.5", b'"x"', b"null", b"true"])
def test_body_that_is_no_object_is_422(service: Service, body: bytes):
    document = refused(service, body, 422)
    assert pointers(document) == [""]
    assert "expected object, got " in document["errors"][0]["detail"]


def commands(*items: object) -> dict[str, Any]:
    return {"Commands": list(items)}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        # Which of the two
        ({}, ""),
        ({"Name": "x"}, ""),
        ({**RUNS, **commands(RUNS)}, ""),
        (commands(), "/Commands"),
        # Types
        ({"CommandLine": 5}, "/CommandLine"),
        ({"CommandLine": None}, "/CommandLine"),
        ({"CommandLine": ["true"]}, "/CommandLine"),
        ({"Commands": RUNS}, "/Commands"),
        ({"Commands": "true"}, "/Commands"),
        ({"Commands": None}, "/Commands"),
        (commands("true"), "/Commands/0"),
        (commands(RUNS, None), "/Commands/1"),
        (commands(RUNS, {"CommandLine": 1}), "/Commands/1/CommandLine"),
        ({**RUNS, "Environment": ["A=1"]}, "/Environment"),
        ({**RUNS, "Environment": {"A": 1}}, "/Environment/A"),
        ({**RUNS, "Environment": {"A": "1", "B": None}}, "/Environment/B"),
        (commands({**RUNS, "Environment": {"A": True}}), "/Commands/0/Environment/A"),
        ({**RUNS, "WorkingDir": 1}, "/WorkingDir"),
        (commands({**RUNS, "WorkingDir": []}), "/Commands/0/WorkingDir"),
        ({**RUNS, "Name": 1}, "/Name"),
        ({**RUNS, "Labels": "a=b"}, "/Labels"),
        ({**RUNS, "Labels": {"a": 1}}, "/Labels/a"),
        ({**RUNS, "Timeout": "60"}, "/Timeout"),
        ({**RUNS, "Grace": [1]}, "/Grace"),
        (commands({**RUNS, "ContinueOnFailure": "yes"}), "/Commands/0/ContinueOnFailure"),
        (commands({**RUNS, "Kind": 1}), "/Commands/0/Kind"),
        (commands({**RUNS, "Kind": None}), "/Commands/0/Kind"),
        # Keys
        ({**RUNS, "Comands": []}, "/Comands"),
        ({"commandline": "true"}, "/commandline"),
        ({**RUNS, "Kind": "bash"}, "/Kind"),
        ({**RUNS, "a/b~c": 1}, "/a~1b~0c"),
        ({**RUNS, "ID": "mine"}, "/ID"),
        (commands(RUNS, {**RUNS, "Timeout": 1}), "/Commands/1/Timeout"),
        (commands({}), "/Commands/0/CommandLine"),
        (commands(RUNS, {"Kind": "bash"}), "/Commands/1/CommandLine"),
        (commands({**RUNS, "Kind": "fish"}), "/Commands/0/Kind"),
        # Values
        ({"CommandLine": ""}, "/CommandLine"),
        ({"CommandLine": " \n\t"}, "/CommandLine"),
        (commands(RUNS, {"CommandLine": ""}), "/Commands/1/CommandLine"),
        ({**RUNS, "Timeout": -1}, "/Timeout"),
        ({**RUNS, "Timeout": -0.001}, "/Timeout"),
        ({**RUNS, "Timeout": 1e300}, "/Timeout"),
        ({**RUNS, "Grace": -1}, "/Grace"),
        ({**RUNS, "Name": ""}, "/Name"),
        ({**RUNS, "Name": "x" * 257}, "/Name"),
        ({**RUNS, "WorkingDir": ""}, "/WorkingDir"),
        ({**RUNS, "WorkingDir": ".."}, "/WorkingDir"),
        ({**RUNS, "WorkingDir": "a/../b"}, "/WorkingDir"),
        ({**RUNS, "WorkingDir": "/tmp/.."}, "/WorkingDir"),
        (commands({**RUNS, "WorkingDir": "../x"}), "/Commands/0/WorkingDir"),
        ({**RUNS, "Labels": {"": "x"}}, "/Labels/"),
        ({**RUNS, "Labels": {"a=b": "x"}}, "/Labels/a=b"),
        ({**RUNS, "Labels": {"a": "x" * 257}}, "/Labels/a"),
        ({**RUNS, "Labels": {str(n): "" for n in range(65)}}, "/Labels"),
        ({"Commands": [RUNS] * 1001}, "/Commands"),
        # What would be cut short or misread on its way to the process
        ({"CommandLine": "echo a\0b"}, "/CommandLine"),
        (commands({"CommandLine": "\0"}), "/Commands/0/CommandLine"),
        ({**RUNS, "Name": "a\0b"}, "/Name"),
        ({**RUNS, "WorkingDir": "a\0b"}, "/WorkingDir"),
        ({**RUNS, "Labels": {"a": "\0"}}, "/Labels/a"),
        ({**RUNS, "Environment": {"A": "x\0y"}}, "/Environment/A"),
        ({**RUNS, "Environment": {"A\0": "x"}}, "/Environment/A\0"),
        ({**RUNS, "Environment": {"A=B": "x"}}, "/Environment/A=B"),
        ({**RUNS, "Environment": {"=": "x"}}, "/Environment/="),
        ({**RUNS, "Environment": {"": "x"}}, "/Environment/"),
        ({**RUNS, "Environment": {"a/b~=": "x"}}, "/Environment/a~1b~0="),
        (commands(RUNS, {**RUNS, "Environment": {"": ""}}), "/Commands/1/Environment/"),
    ],
)
def test_job_that_is_not_valid_is_422_and_names_the_place(
    service: Service, body: object, pointer: str
):
    document = refused(service, json.dumps(body).encode(), 422)
    assert pointers(document)[:1] == [pointer]
    assert "expected" in document["errors"][0]["detail"]


def test_each_wrong_place_is_named(service: Service):
    body = {**RUNS, "WorkingDir": "..", "Environment": {"": "x", "A": "\0"}, "Labels": {"a=": ""}}
    document = refused(service, json.dumps(body).encode(), 422)
    assert pointers(document) == ["/Environment/", "/Environment/A", "/WorkingDir", "/Labels/a="]


def test_deep_nesting_is_never_an_error_of_ours(service: Service):
    for depth in (100, 500, 900, 950, 980, 990, 1000, 1100):
        nested = "[" * depth + "]" * depth
        for body in (
            f'{{"Commands": [{{"Kind": {nested}}}]}}',
            f'{{"Commands": {nested}}}',
            f'{{"CommandLine": {nested}}}',
            f'{{"CommandLine": "true", "Environment": {{"A": {nested}}}}}',
            f'{{"{nested}": {nested}}}',
        ):
            answer = service.client.post("/", content=body, headers=JSON)
            assert answer.status_code in (400, 422), answer.text
            assert_problem(answer, answer.status_code)


def test_no_answer_repeats_the_value_of_a_variable(service: Service):
    for body in (
        {**RUNS, "Environment": {"A": {"secret": "hunter2"}}},
        {**RUNS, "Environment": {"A": "hunter2\0"}},
        {**RUNS, "Environment": {"A=": "hunter2"}},
        {**RUNS, "Environment": ["hunter2"]},
        commands({**RUNS, "Environment": {"A": ["hunter2"]}}),
    ):
        assert "hunter2" not in json.dumps(refused(service, json.dumps(body).encode(), 422))


# Headers and sizes


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "text/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonx",
        "application/problem+json",
        "; application/json",
    ],
)
def test_wrong_content_type_is_415_and_says_which_header_to_send(
    service: Service, content_type: str | None
):
    headers = {} if content_type is None else {"Content-Type": content_type}
    document = refused(service, b'{"CommandLine": "true"}', 415, headers)
    assert "Content-Type: application/json" in document["detail"]


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there", "é".encode()])
def test_bad_idempotency_key_is_400(service: Service, key: str | bytes):
    before = every_id(service)
    answer = service.client.post("/", json=RUNS, headers={"Idempotency-Key": key})
    assert "Idempotency-Key" in assert_problem(answer, 400)["detail"]
    assert every_id(service) == before


def test_two_idempotency_keys_are_400(service: Service):
    headers = [("Idempotency-Key", "one"), ("Idempotency-Key", "two")]
    assert_problem(service.client.post("/", json=RUNS, headers=headers), 400)


LIMIT = 4 << 20
HEAD = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    "request_bytes",
    [
        HEAD + b"Content-Length: %d\r\n\r\n" % (LIMIT + 1),
        HEAD + b"Content-Length: %d\r\n\r\n{" % 10**15,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n{" % (LIMIT + 1),
    ],
)
def test_body_over_the_limit_is_413_before_it_is_sent(service: Service, request_bytes: bytes):
    before = every_id(service)
    status, head, body = raw(service, request_bytes)
    document = json.loads(body)
    assert (status, document["status"]) == (413, 413)
    assert b"application/problem+json" in head
    assert str(LIMIT) in document["detail"]
    assert every_id(service) == before


def test_body_of_just_the_limit_is_read(service: Service):
    before = every_id(service)
    body = json.dumps({"CommandLine": ":", "Nope": ""}).encode()
    body += b" " * (LIMIT - len(body))
    answer = service.client.post("/", content=body, headers=JSON)
    assert pointers(assert_problem(answer, 422)) == ["/Nope"]
    assert every_id(service) == before


# Routes and methods


@pytest.mark.parametrize(
    "path", ["/no/such/route", "/health/dead", "/a/b/c", "/x/kill", "/x/attach/more", "/x//attach"]
)
def test_unknown_route_is_404(service: Service, path: str):
    document = assert_problem(service.client.get(path), 404)
    assert document["type"].endswith("unknown_route")
    assert path in document["detail"]


@pytest.mark.parametrize(
    ("path", "allowed", "methods"),
    [
        ("/", "DELETE, GET, HEAD, POST", ("PUT", "PATCH", "OPTIONS")),
        ("/{id}", "DELETE, GET, HEAD, PATCH", ("POST", "PUT", "OPTIONS")),
        ("/{id}/attach", "GET, HEAD", ("POST", "DELETE")),
        ("/{id}/output", "GET, HEAD", ("POST", "DELETE")),
        ("/{id}/wait", "GET, HEAD", ("POST", "DELETE")),
        ("/{id}/clean", "POST", ("GET", "DELETE", "PUT")),
        ("/health/live", "GET, HEAD", ("POST", "DELETE")),
        ("/health/ready", "GET, HEAD", ("POST", "DELETE")),
        ("/metrics", "GET, HEAD", ("POST", "DELETE")),
        ("/openapi.json", "GET, HEAD", ("POST", "DELETE")),
    ],
)
def test_wrong_method_is_405_with_allow(
    service: Service, finished: str, path: str, allowed: str, methods: tuple[str, ...]
):
    for method in methods:
        answer = service.client.request(method, path.format(id=finished))
        document = assert_problem(answer, 405)
        assert answer.headers["allow"] == allowed
        assert allowed in document["detail"]


def test_wrong_method_on_clean_does_not_clean(service: Service, finished: str):
    assert service.client.head(f"/{finished}/clean").status_code == 405
    assert service.show(finished)["State"] == "exited"


@pytest.mark.parametrize("accept", ["application/json", "text/html", "image/*"])
def test_output_in_another_form_is_406(service: Service, finished: str, accept: str):
    answer = service.client.get(f"/{finished}/attach", headers={"Accept": accept})
    assert "text/plain" in assert_problem(answer, 406)["detail"]


# Query parameters


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1001",
        "limit=-1",
        "limit=ten",
        "limit=1.5",
        "limit=",
        "limit=%D9%A1",
        "limit=1&limit=2",
        "limit=" + "9" * 5000,
        "state=done",
        "state=",
        "state=exited,",
        "state=all,exited",
        "state=skipped",
        "view=short",
        "label=team",
        "label==db",
        "after=nonsense",
        "after=",
        "after=czE%00",
        "name=a&name=b",
        "name=%FF",
        "name=%ED%A0%80",
        "Limit=1",
        "verbose=1",
        "a=1" + "&label=a%3Db" * 200,
    ],
)
def test_bad_parameter_of_a_list_is_400(service: Service, query: str):
    assert_names_parameter(service.client.get(f"/?{query}"), query)


@pytest.mark.parametrize(
    "query", ["timeout=-1", "timeout=nan", "timeout=inf", "timeout=soon", "timeout=1e300", "x=1"]
)
def test_bad_parameter_of_a_wait_is_400(service: Service, finished: str, query: str):
    assert_names_parameter(service.client.get(f"/{finished}/wait?{query}"), query)


@pytest.mark.parametrize(
    "query",
    [
        "offset=x",
        "offset=1.5",
        "offset=",
        "offset=+1",
        "offset=--1",
        "offset=9223372036854775808",
        "stream=both",
        "stream=",
        "stream=1",
        "follow=maybe",
        "follow=",
        "grep=x",
    ],
)
def test_bad_parameter_of_an_attach_is_400(service: Service, finished: str, query: str):
    assert_names_parameter(service.client.get(f"/{finished}/attach?{query}"), query)


@pytest.mark.parametrize(
    "query",
    [
        "grace=-1",
        "grace=nan",
        "grace=x",
        "grace=",
        "signal=NOPE",
        "signal=",
        "signal=99",
        "signal=SIG_DFL",
        "wait=perhaps",
        "force=1",
    ],
)
def test_bad_parameter_of_a_kill_is_400_and_kills_nothing(service: Service, query: str):
    job_id = service.submit("sleep 600")
    assert_names_parameter(service.client.delete(f"/{job_id}?{query}"), query)
    assert service.show(job_id)["Kill"] is None
    service.kill(job_id, wait="true")


def test_routes_without_parameters_take_none(service: Service, finished: str):
    assert_names_parameter(service.client.get(f"/{finished}?view=full"), "view=")
    assert_names_parameter(service.client.post(f"/{finished}/clean?force=1"), "force=")
    assert service.show(finished)["ID"] == finished


def assert_names_parameter(answer: httpx.Response, query: str) -> None:
    document = assert_problem(answer, 400)
    if "%" not in query and query.count("=") < 3:
        assert repr(query.partition("=")[0]) in document["detail"]


@pytest.mark.parametrize("offset", [7, 2**63 - 1])
def test_offset_beyond_the_end_is_416(service: Service, finished: str, offset: int):
    answer = service.client.get(f"/{finished}/attach", params={"offset": offset})
    assert str(offset) in assert_problem(answer, 416)["detail"]
    assert answer.headers["content-range"] == "bytes */6"


# Fuzz

WORDS = st.sampled_from(["", " ", "..", "a", "A=B", "\0", "bash", "fish", "x" * 300, "/", "~1"])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | WORDS
    | st.text(max_size=20)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(WORDS | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=8,
)
TEXTS = st.dictionaries(WORDS | st.text(max_size=5), st.text(max_size=10), max_size=3)
# Only these are ever run.
LINES = st.sampled_from([":", "", "\0", "true\0"])
# A path that is made when it is relative: nothing but the job's own directory may be written to.
PLACES = st.sampled_from(["", "a", "a/b", "..", "a\0", "/nowhere", ".", "a//b", "x" * 300])
COMMANDS = st.fixed_dictionaries(
    {"CommandLine": LINES},
    optional={
        "Kind": st.sampled_from(["bash", "fish", "", 1, None]),
        "WorkingDir": PLACES | st.none(),
        "Environment": TEXTS | VALUES,
        "ContinueOnFailure": st.booleans() | SCALARS,
    },
)
NOT_RUN = VALUES.filter(lambda value: not isinstance(value, str))
JOBS = st.fixed_dictionaries(
    {},
    optional={
        "CommandLine": LINES | NOT_RUN,
        "Commands": st.lists(COMMANDS, max_size=3) | NOT_RUN.filter(lambda v: v != [{}]),
        "Environment": TEXTS | VALUES,
        "WorkingDir": PLACES | st.none(),
        "Name": st.text(max_size=10) | VALUES,
        "Labels": TEXTS | VALUES,
        "Timeout": st.floats() | VALUES,
        "Grace": st.floats() | VALUES,
    },
)
BODIES = (
    JOBS.map(lambda value: json.dumps(value).encode())
    | JOBS.map(lambda value: json.dumps(value, ensure_ascii=False).encode(errors="surrogatepass"))
    | VALUES.map(lambda value: json.dumps(value).encode())
    | st.builds(
        lambda job, at, junk: json.dumps(job).encode()[:at] + junk,
        JOBS,
        st.integers(0, 40),
        st.binary(max_size=8).filter(lambda junk: junk != b""),
    )
)


@pytest.mark.slow
@settings(deadline=None, max_examples=200)
@given(body=BODIES)
def test_any_body_gives_a_job_or_a_problem(service: Service, body: bytes):
    answer = service.client.post("/", content=body, headers=JSON)
    if answer.status_code != 201:
        assert answer.status_code in (400, 422), answer.text
        assert_problem(answer, answer.status_code)
        return
    view = service.wait(answer.json()["ID"])
    assert view["State"] in ("exited", "killed")


NAMES = st.sampled_from(
    [
        "",
        "é",
        "state",
        "name",
        "label",
        "limit",
        "after",
        "view",
        "timeout",
        "offset",
        "stream",
        "follow",
        "signal",
        "grace",
        "wait",
    ]
)
QUERIES = st.lists(
    st.tuples(
        NAMES,
        st.sampled_from(["0", "-1", "1", "all", "true", "stdout", "TERM", "czE", "a=b", "1e5"])
        | st.integers().map(str)
        | st.floats().map(str)
        | st.text(max_size=10),
    ),
    max_size=4,
).map(lambda pairs: "&".join(f"{name}={value}" for name, value in pairs))
# As they are sent: quoted, or whatever bytes a request line can hold.
REQUEST_BYTES = bytes(b for b in range(256) if b not in b"\r\n \t\0")
TARGETS = st.tuples(
    st.sampled_from(["/", "/{id}", "/{id}/wait", "/{id}/attach", "/none", "/none/attach"]),
    QUERIES.map(lambda query: quote_from_bytes(query.encode(), safe="=&,").encode())
    | st.text(alphabet=string.printable.strip(), max_size=20).map(str.encode)
    | st.lists(st.sampled_from(REQUEST_BYTES), max_size=12).map(bytes),
)


@settings(deadline=None, max_examples=200)
@given(target=TARGETS, method=st.sampled_from([b"GET", b"HEAD", b"DELETE"]))
def test_any_query_gives_an_answer_or_a_problem(
    service: Service, finished: str, target: tuple[str, bytes], method: bytes
):
    path, query = target
    where = path.format(id=finished).encode() + b"?" + query
    request = method + b" " + where + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    status, head, body = raw(service, request)
    assert 200 <= status < 500, (request, head, body)
    if status >= 400:
        assert b"application/problem+json" in head
        assert method == b"HEAD" or json.loads(body)["status"] == status


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\r\n\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"GET /%ff?%ff=%ff HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"GET /\xff/attach HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"DELETE /\xff HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"GET x HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /\x01 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET http://x:99999/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: "
        + b"a" * 100_000
        + b"\r\nConnection: close\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\nConnection: close\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\nConnection: close\r\n\r\n",
    ],
)
def test_request_that_is_hardly_http_is_a_problem_of_its_sender(
    service: Service, request_bytes: bytes
):
    status, head, body = raw(service, request_bytes)
    assert 200 <= status < 500, (head, body)
    assert b"application/problem+json" in head


def test_the_answer_to_a_head_that_is_too_long_is_whole_though_more_of_the_head_comes(
    service: Service,
):
    with socket.create_connection(("127.0.0.1", service.port), FUSE_S) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 20_000)
        poller = select.poll()
        poller.register(connection, select.POLLIN)
        assert poller.poll(FUSE_S * 1000)
        for _ in range(4):
            connection.sendall(b"a" * 20_000)
        received = b""
        while chunk := connection.recv(1 << 16):
            received += chunk
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    assert json.loads(body)["status"] == int(head.split(b" ", 2)[1])


def test_nothing_above_was_an_error_of_the_service(service: Service):
    assert not [line for line in service.lines if re.search("request_failed|Traceback|ERROR", line)]
    assert service.client.get("/health/ready").status_code == 200
