"""What a bash command may ask for besides its command line, with real commands."""

from __future__ import annotations

from typing import Any

import pytest
from answers import assert_problem
from running import Service

pytestmark = pytest.mark.e2e


def command(line: str, **keys: Any) -> dict[str, Any]:
    """A job of this one command."""
    return {"Commands": [{"CommandLine": line, **keys}]}


# One pipe for both streams

# As fast as a shell writes: with two pipes hardly a line stands where it was written.
ALTERNATING = "for ((i = 0; i < 2000; i++)); do echo $i; echo $i >&2; done"


def test_one_pipe_keeps_the_order_of_both_streams(service: Service) -> None:
    view = service.run(command(ALTERNATING, Stderr="stdout"))
    assert view["ExitCode"] == 0
    assert view["Commands"][0]["Stderr"] == "stdout"
    expected = [str(number).encode() for number in range(2000) for _ in range(2)]
    assert service.output(view["ID"]).split() == expected
    assert service.output(view["ID"], stream="stdout").split() == expected
    assert service.output(view["ID"], stream="stderr") == b""
    assert view["Output"] == {"Bytes": sum(map(len, expected)) + 4000, "Complete": True, "Gaps": []}


def test_each_command_says_whether_it_has_one_pipe(service: Service) -> None:
    line = "echo out; echo err >&2"
    job = {"Commands": [{"CommandLine": line, "Stderr": "stdout"}, {"CommandLine": line}]}
    view = service.run(job)
    assert [each["Stderr"] for each in view["Commands"]] == ["stdout", "stderr"]
    assert service.output(view["ID"], stream="stderr") == b"err\n"
    assert service.output(view["ID"], stream="stdout") == b"out\nerr\nout\n"


@pytest.mark.parametrize(
    ("job", "pointer"),
    [
        (command("true", Stderr="file"), "/Commands/0/Stderr"),
        (
            {"Commands": [{"Kind": "docker", "Image": "busybox:1", "Stderr": "stdout"}]},
            "/Commands/0/Stderr",
        ),
    ],
)
def test_a_stream_that_cannot_be_had_is_refused(
    service: Service, job: dict[str, Any], pointer: str
) -> None:
    problem = assert_problem(service.client.post("/", json=job), 422)
    assert [error["pointer"] for error in problem["errors"]] == [pointer]
