"""Bodies that mean harm: time, memory and the answer grow with the body at the most, whatever it is
made of, and a service that is told them goes on serving everybody else.
"""

from __future__ import annotations

import json
import os
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from time import thread_time

import pytest
from answers import assert_problem
from running import Service, running

from service.api.problems import Problems
from service.errors import MAX_FIELD_ERRORS, InvalidJob, JobrunnerError, MalformedBody
from service.jobs.decoding import MAX_VALUES, decode_object
from service.kinds.settings import read_settings
from service.kinds.validation import validate_job
from service.settings import Settings

pytestmark = pytest.mark.once

JSON = {"Content-Type": "application/json"}
KIB, MIB = 1 << 10, 1 << 20


def long(before: str, piece: str, after: str) -> Callable[[int], str]:
    """A piece again and again."""
    return lambda size: before + piece * (size // len(piece)) + after


def many(before: str, item: str, after: str) -> Callable[[int], str]:
    """Items of an array, or members of an object with numbers in the place of `#`."""

    def make(size: int) -> str:
        count = size // (len(item) + (6 if "#" in item else 1))
        return before + ",".join(item.replace("#", str(n)) for n in range(count)) + after

    return make


RUNS = '{"CommandLine":"x",'
DOCKER = '{"Commands":[{"Kind":"docker","Image":"a",'
CONTAINERS = ",".join(['{"Kind":"docker","Image":"a"}'] * 1000)
# By what they are made of: a body of about so many bytes.
MONSTERS: dict[str, Callable[[int], str]] = {
    "numbers below a long name": many(f'{RUNS}"{"k" * 3000}":[', "1", "]}"),
    "empty arrays": many(RUNS + '"a":[', "[]", "]}"),
    "empty objects": many(RUNS + '"a":[', "{}", "]}"),
    "small objects": many(RUNS + '"a":[', '{"a":1}', "]}"),
    "nested arrays": many(RUNS + '"a":[', "[" * 14 + "]" * 14, "]}"),
    "too deep arrays": many(RUNS + '"a":[', "[" * 90 + "]" * 90, "]}"),
    "brackets": long("", "[", ""),
    "objects in objects": long("", '{"a":', ""),
    "empty commands": many('{"Commands":[', "{}", "]}"),
    "unknown keys": many(RUNS, '"u#":1', "}"),
    "a long unknown key": long(RUNS + '"', "~/", '":1}'),
    "unknown keys of a command": many('{"Commands":[{', '"u#":1', "}]}"),
    "wrong names of variables": many(RUNS + '"Environment":{', '"=#":""', "}}"),
    "long wrong names": many(RUNS + '"Environment":{', f'"{"=" * 999}#":""', "}}"),
    "wrong values of variables": many(RUNS + '"Environment":{', r'"A#":"\u0000"', "}}"),
    "variables": many(RUNS + '"Environment":{', '"A#":"b"', "}}"),
    "labels": many(RUNS + '"Labels":{', '"=#":""', "}}"),
    "a long name of a label": long(RUNS + '"Labels":{"', "=", '":""}}'),
    "a name many times": many(RUNS, '"Name":"x"', "}"),
    "a long integer": long(RUNS + '"Timeout":', "9", "}"),
    "a long fraction": long(RUNS + '"Timeout":0.', "9", "}"),
    "a long exponent": long(RUNS + '"Timeout":1e', "9", "}"),
    "fractions": many(RUNS + '"a":[', "1.5", "]}"),
    "infinite numbers": many(RUNS + '"a":[', "1e999999", "]}"),
    "surrogates": long(r'{"CommandLine":"\u0000', r"\ud83d\ude00", '"}'),
    "NULs": long('{"CommandLine":"', r"\u0000", '"}'),
    "escaped quotes": long('{"CommandLine":5,"Name":"', r"\"", '"}'),
    "backslashes": long('{"CommandLine":5,"Name":"', r"\\", '"}'),
    "open quotes": long("", '"', ""),
    "blanks": long('{"CommandLine":"', " ", '"}'),
    "blanks around nothing": long("", " ", ""),
    "a path of dots": long(RUNS + '"WorkingDir":"', "../", '"}'),
    "a wrong word": long(DOCKER + '"Pull":"', "x", '"}]}'),
    "a wrong word like a path": long(DOCKER + '"Pull":"', " - at `$.a[0]`", '"}]}'),
    "a kind": long('{"Commands":[{"Kind":"', "x", '"}]}'),
    "a kind that is an array": many('{"Commands":[{"Kind":[', "1", "]}]}"),
    "wrong arguments": many(DOCKER + '"Arguments":[', r'"\u0000"', "]}]}"),
    "volumes": many(DOCKER + '"Volumes":[', '"/a:/b"', "]}]}"),
    "a volume": long(DOCKER + '"Volumes":["', "/a", ':/b"]}]}'),
    "words to split": long(DOCKER + '"CommandLine":"', "a ", '"}]}'),
    "quotes to split": long(DOCKER + '"CommandLine":"\'', "''", '"}]}'),
    "an image": long('{"Commands":[{"Kind":"docker","Image":"', "a.", '"}]}'),
    "a registry": long('{"Commands":[{"Repository":"a","Kind":"docker","Registry":"', "a-", '"}]}'),
    "variables of containers": many(
        f'{{"Commands":[{CONTAINERS}],"Environment":{{', '"A#":"b"', "}}"
    ),
}
VALID = ("a name many times", "a long fraction", "variables", "variables of containers")
SMALL, LARGE = 64 * KIB, 512 * KIB


def told(body: bytes, settings: Settings) -> JobrunnerError | None:
    try:
        validate_job(decode_object(body), settings)
    except JobrunnerError as exc:
        return exc
    return None


def seconds(body: bytes, settings: Settings) -> float:
    """The best of some: the others tell of the machine."""

    def once() -> float:
        begun = thread_time()  # not what others do on this machine
        told(body, settings)
        return thread_time() - begun

    return min(once() for _ in range(3))


@pytest.fixture
def default(tmp_path: Path) -> Settings:
    return read_settings({"JOBRUNNER_STATE_DIR": str(tmp_path)})


@pytest.mark.parametrize("what", MONSTERS)
def test_time_is_linear_in_the_size_of_the_body(what: str, default: Settings):
    small, large = (MONSTERS[what](size).encode() for size in (SMALL, LARGE))
    # The reference is what the size alone costs: to decode one text of it.
    reference = seconds(json.dumps({"CommandLine": "x" * LARGE}).encode(), default)
    growth = len(large) / len(small)
    # Where so little is done that the clock can't tell, nothing is to be shown.
    allowed = max(4 * growth * seconds(small, default), 50 * reference)
    assert seconds(large, default) < allowed


@pytest.mark.parametrize("what", MONSTERS)
def test_memory_is_a_small_multiple_of_the_body(what: str, default: Settings):
    for size in (SMALL, LARGE):
        body = MONSTERS[what](size).encode()
        tracemalloc.start()
        try:
            told(body, default)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        # An array of one that is in another takes 120 bytes; there are MAX_VALUES at the most.
        assert peak < 4 * len(body) + min(60 * len(body), 128 * MAX_VALUES) + MIB


@pytest.mark.parametrize("what", MONSTERS)
def test_the_answer_is_short_and_tells_a_mistake(what: str, default: Settings):
    error = told(MONSTERS[what](LARGE).encode(), default)
    if error is None:
        assert what in VALID
        return
    assert isinstance(error, InvalidJob | MalformedBody)
    answer = Problems().response(None, error)  # type: ignore[arg-type]
    assert answer.body is not None
    assert len(answer.body) < 64 * KIB
    document = json.loads(answer.body)
    if isinstance(error, InvalidJob):
        assert 1 <= len(document["errors"]) <= MAX_FIELD_ERRORS
        assert all(place["pointer"][:1] in ("", "/") for place in document["errors"])


def test_the_first_field_errors_are_listed_and_that_there_are_more(default: Settings):
    keys = {f"u{number}": 1 for number in range(MAX_FIELD_ERRORS + 1)}
    error = told(json.dumps({"CommandLine": "x", **keys}).encode(), default)
    assert isinstance(error, InvalidJob)
    assert [place.pointer for place in error.errors] == [f"/{key}" for key in keys][
        :MAX_FIELD_ERRORS
    ]
    assert f"more errors than the {MAX_FIELD_ERRORS}" in error.detail
    keys.popitem()
    error = told(json.dumps({"CommandLine": "x", **keys}).encode(), default)
    assert isinstance(error, InvalidJob)
    assert len(error.errors) == MAX_FIELD_ERRORS
    assert "more errors" not in error.detail


# ------------------------------------------------------------------------------ the running service


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("state") / "jobrunner") as service:
        yield service


def _resident(service: Service) -> int:
    """Bytes that the worker has ever had in memory."""
    (pid,) = service.worker_pids()
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) << 10


def _processor_s(service: Service) -> float:
    """Seconds of a processor that the worker has taken so far. Source: proc(5), utime and stime."""
    (pid,) = service.worker_pids()
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.e2e
@pytest.mark.slow
def test_the_largest_bodies_take_little_of_the_processor_and_of_memory(service: Service):
    memory = _resident(service)
    for name, make in MONSTERS.items():
        body = make(4 * MIB - 64 * KIB).encode()[: 4 * MIB]
        before = _processor_s(service)
        answer = service.client.post("/", content=body, headers=JSON)
        assert answer.status_code in (201, 400, 422)
        assert len(answer.content) < 64 * KIB
        if answer.status_code == 201:
            service.wait(answer.json()["ID"])
        # While it is looked at nobody else is answered. Five to sixty-one seconds, and gigabytes,
        # were what these took.
        assert _processor_s(service) - before < 2, name
    assert _resident(service) - memory < 256 * MIB


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/?" + "a=1&" * 2000, {}),
        ("/?" + "label=a%3Db&" * 600, {}),
        ("/?" + "a" * 8000, {}),
        ("/?state=" + "x" * 7000, {}),
        ("/" + "x" * 7000, {}),
        ("/" + "x" * 3000 + "/attach", {}),
        ("/", {"Cookie": "a=b;" * 1500}),
        ("/", {"Host": "x" * 7000}),
        ("/", {"Host": "localhost", "Origin": "http://" + "x" * 7000}),
        ("/", {"Authorization": "Bearer " + "x" * 7000}),
        ("/", {"X": "y" * 100_000}),
    ],
)
def test_long_heads_are_not_repeated_to_their_sender(
    service: Service, path: str, headers: dict[str, str]
):
    answer = service.client.get(path, headers=headers)
    assert answer.status_code in (200, 400, 403, 404, 413, 431)
    assert len(answer.content) < 2 * KIB


@pytest.mark.e2e
@pytest.mark.parametrize("value", ["k" * 256, "k" * 7000, "application/json" + "x" * 7000])
def test_long_headers_of_a_submission_are_not_repeated(service: Service, value: str):
    headers = {**JSON, "Idempotency-Key": value}
    problem = assert_problem(service.client.post("/", content=b"{}", headers=headers), 400)
    assert len(problem["detail"]) < 300
    answer = service.client.post("/", content=b"{}", headers={"Content-Type": value})
    assert len(assert_problem(answer, 415)["detail"]) < 300
