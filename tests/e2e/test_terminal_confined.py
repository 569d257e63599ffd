"""A terminal controls the session of a command as another user, in a sandbox and in a PID namespace."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from running import Service, running
from screens import screen_of

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.once,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can have others run as somebody else"),
    pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed"),
]
USER = "nobody"
WAYS = {
    "user": {},
    "sandbox": {"JOBRUNNER_SANDBOX": "bwrap"},
    "namespace": {"JOBRUNNER_PID_NAMESPACE": "on"},
}


@pytest.fixture(scope="module", params=WAYS)
def service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    place = tmp_path_factory.mktemp("open")
    for directory in (place, *place.parents):
        if directory.stat().st_uid == os.geteuid() and directory != Path("/"):
            directory.chmod(directory.stat().st_mode | 0o011)
    environment = {**WAYS[request.param], "JOBRUNNER_RUN_AS": USER}
    with running(place / "jobrunner", environment=environment) as service:
        yield service


def test_the_terminal_belongs_to_the_user_and_controls_the_session(service: Service):
    line = """stty size; stat -L -c '%U %a' /proc/self/fd/0; echo name > /dev/tty; echo > /dev/stdout
        set -- $(ps -o pid=,sid=,tpgid= -p $$); [ $1 = $2 ] && [ $2 = $3 ] && echo controls"""
    view = service.run({"CommandLine": line, "TTY": {"Rows": 30, "Cols": 101}})
    output = service.output(view["ID"]).decode().split()
    assert output == ["30", "101", USER, "600", "name", "controls"]


def test_keys_end_what_is_in_the_foreground_and_nothing_else(service: Service):
    shell = "PS1='$ ' exec bash --norc --noprofile -i"
    with screen_of(service, shell) as screen:
        screen.until(lambda s: s.text == "$")
        for key, told in (("\x03", "^C"), ("\x1c", "^\\"), ("\x1a", "Stopped")):
            screen.type("echo u''p; sleep 600\n")
            screen.until("\nup")
            screen.type(key)
            screen.until(told)
            screen.type("clear\n")
            screen.until(lambda s: s.text == "$")
        query = {"signal": "HUP", "to": "foreground"}
        answer = service.client.post(f"/{screen.job_id}/signal", params=query)
        assert answer.json()["Processes"] == 1
        assert service.wait(screen.job_id)["State"] == "exited"
