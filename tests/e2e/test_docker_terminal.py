"""A container in a job's terminal: docker's client hands keys, size and output over."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from answers import assert_problem
from containers import docker, job
from dockerd import Dockerd
from running import Service, running
from screens import screen_of

pytestmark = [pytest.mark.e2e, pytest.mark.docker, pytest.mark.slow, pytest.mark.once]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, dockerd: Dockerd) -> Iterator[Service]:
    state_dir = tmp_path_factory.mktemp("state") / "jobrunner"
    with running(state_dir, environment=dockerd.environment) as service:
        yield service


def test_a_shell_in_a_container_has_the_keys_and_the_size_of_the_terminal(service: Service):
    shell = job(docker("PS1='$ ' exec sh -i"))
    with screen_of(service, shell, Rows=30, Cols=100) as screen:
        screen.until(lambda s: s.text.endswith("$"))
        screen.type("echo $TERM; until stty size; do sleep 0.1; done\n")
        screen.until("xterm-256color")
        screen.until("\n30 100")
        screen.type("echo up; sleep 600; echo over\n")
        screen.until("\nup")
        screen.type("\x03")
        screen.until(lambda s: s.text.endswith("^C\n$"))
        screen.resize(40, 120)
        screen.type("until [ '40 120' = \"$(stty size)\" ]; do sleep 0.1; done; echo resi''zed\n")
        screen.until("resized")
        screen.type("\x10\x11")  # by default they end the client
        screen.type("\x03exit 3\n")
        assert service.wait(screen.job_id)["ExitCode"] == 3


def test_no_signal_ends_the_client_and_a_kill_reaches_the_container(service: Service):
    line = "trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.1; done"
    with screen_of(service, job(docker(line))) as screen:
        screen.until("up")
        for to in ("all", "foreground"):
            query = {"signal": "USR1", "to": to}
            answer = service.client.post(f"/{screen.job_id}/signal", params=query)
            assert assert_problem(answer, 409)["type"].endswith(":signal_not_passed_on")
        assert service.show(screen.job_id)["WaitingForInput"] is None
        service.kill(screen.job_id, wait="true")
        screen.until("bye")
        view = service.show(screen.job_id)
        assert (view["State"], view["ExitCode"], view["Kill"]["Escalated"]) == ("killed", 5, False)


def test_commands_of_both_kinds_share_the_terminal(service: Service):
    bash = {"CommandLine": "stty size; tty; stty -echo"}
    after = {"CommandLine": "tty; stty -a | grep -o -- '-echo '"}
    inside = docker("echo ready; cat && echo inside")
    commands = {"Commands": [bash, inside, after]}
    with screen_of(service, commands, Rows=30, Cols=99) as screen:
        screen.until("ready")
        screen.type("typed\n", eof=True)
        assert service.wait(screen.job_id)["ExitCode"] == 0
        found = service.output(screen.job_id).decode().splitlines()
    assert found[2:-2] == ["ready", "typed", "typed", "inside"]
    size, first, last, echo = found[:2] + found[-2:]
    assert (size, echo.strip()) == ("30 99", "-echo")
    assert first == last
