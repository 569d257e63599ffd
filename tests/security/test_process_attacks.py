"""A job that sends signals to all processes of its user, those that are just being started among them."""

from __future__ import annotations

import os
import pwd
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from gates import attached
from running import Service, running

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can have others run as somebody else"),
]

# Nobody else's on the machine: what the attack stops are processes of this user, whoever began them.
USER = "games"
# Each signal goes to all that it may be sent to, but for its sender.
STOP_ALL = "echo up; while :; do kill -STOP -1; done 2> /dev/null"


@pytest.fixture
def service() -> Iterator[Service]:
    try:
        pwd.getpwnam(USER)
    except KeyError:
        pytest.skip(f"there is no user {USER}")
    with tempfile.TemporaryDirectory(prefix="attack-") as name:
        Path(name).chmod(0o711)
        with running(Path(name) / "state", environment={"JOBRUNNER_RUN_AS": USER}) as service:
            yield service


def test_a_job_that_stops_all_processes_of_its_user_stops_no_service(service: Service):
    before = service.supervisor_pid()
    attack = service.submit(STOP_ALL)
    with attached(service, attack, stream="stdout") as output:
        assert next(output) == "up"
    others = [service.submit("true") for _ in range(60)]
    service.kill(attack, grace=0, wait="true")
    assert service.show(attack)["Reason"] == "requested"
    for other in others:
        service.kill(other, grace=0, wait="true")
    assert service.run("exit 3")["ExitCode"] == 3
    assert service.supervisor_pid() == before
