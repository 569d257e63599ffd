"""Whom jobs run as, and in what: as another user, in a sandbox, and what they can't reach from there."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from answers import assert_problem
from gates import lines
from running import START_FUSE_S, Service, free_port, running

from service.access import tokens
from service.access.scopes import Scope

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can have others run as somebody else"),
]

USER = "nobody"
NOBODY = pwd.getpwnam(USER)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that everybody may pass through, as a state directory's parents must be."""
    place = tmp_path_factory.mktemp("open")
    for directory in (place, *place.parents):
        if directory.stat().st_uid == os.geteuid() and directory != Path("/"):
            directory.chmod(directory.stat().st_mode | 0o011)
    return place


@pytest.fixture(scope="module")
def as_nobody(place: Path) -> Iterator[Service]:
    environment = {"JOBRUNNER_RUN_AS": USER}
    with running(place / "as-nobody", environment=environment) as service:
        yield service


def test_a_signal_reaches_the_processes_of_another_user(as_nobody: Service) -> None:
    # id(1) has ended before its line is there: the only process is the one that becomes sleep(1).
    job_id = as_nobody.submit("user=$(id -un); echo $user; exec sleep 600")
    assert lines(as_nobody, job_id, 1) == [USER]
    answer = as_nobody.client.post(f"/{job_id}/signal?signal=HUP")
    assert answer.json()["Processes"] == 1
    view = as_nobody.wait(job_id)
    assert (view["State"], view["Signal"]) == ("exited", "SIGHUP")


@pytest.fixture(scope="module")
def bubblewrap() -> None:
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")


@pytest.fixture(scope="module")
def sandboxed(place: Path, bubblewrap: None) -> Iterator[Service]:
    environment = {"JOBRUNNER_SANDBOX": "bwrap", "JOBRUNNER_NETWORKS": "host"}
    with running(place / "sandboxed", environment=environment) as service:
        yield service


@pytest.fixture(scope="module")
def both(place: Path, bubblewrap: None) -> Iterator[Service]:
    environment = {
        "JOBRUNNER_SANDBOX": "bwrap",
        "JOBRUNNER_RUN_AS": USER,
        "JOBRUNNER_NETWORKS": "host",
    }
    with running(place / "both", environment=environment) as service:
        yield service


def said(service: Service, job: dict[str, Any] | str) -> str:
    """What a job says that ends well."""
    view = service.run(job)
    output = service.output(view["ID"]).decode()
    assert view["ExitCode"] == 0, (view["Error"], output)
    return output


# Another user


def test_a_job_is_its_user_and_nothing_more(as_nobody: Service) -> None:
    line = (
        "grep -E '^(Uid|Gid|Groups|CapEff):' /proc/self/status; echo $HOME $USER; pwd; stat -c %U ."
    )
    uid, gid, groups, capabilities, environment, directory, owner = said(
        as_nobody, line
    ).splitlines()
    assert set(uid.split()[1:]) == {str(NOBODY.pw_uid)}
    assert set(gid.split()[1:]) == {str(NOBODY.pw_gid)}
    assert groups.split()[1:] == []
    assert int(capabilities.split()[1], 16) == 0
    assert environment == f"{NOBODY.pw_dir} {USER}"
    assert directory.startswith(str(as_nobody.state_dir / "jobs"))
    assert owner == USER


@pytest.mark.parametrize("where", ["as_nobody", "sandboxed", "both", "service"])
def test_a_job_can_open_its_own_output_by_name(where: str, request: pytest.FixtureRequest) -> None:
    service: Service = request.getfixturevalue(where)
    line = "echo a > /dev/stderr; echo b | tee /dev/stderr; echo c > /dev/stdout; : < /dev/stdin"
    view = service.run(f"set -e; {line}")
    assert view["ExitCode"] == 0, service.output(view["ID"])
    assert service.output(view["ID"], stream="stdout") == b"b\nc\n"
    assert service.output(view["ID"], stream="stderr") == b"a\nb\n"


@pytest.mark.parametrize("where", ["as_nobody", "sandboxed", "both"])
def test_a_job_reads_its_input_there_also_by_name(
    where: str, request: pytest.FixtureRequest
) -> None:
    service: Service = request.getfixturevalue(where)
    commands = [{"CommandLine": "read -r line; echo $line"}, {"CommandLine": "cat < /dev/stdin"}]
    job_id = service.submit({"Commands": commands, "Stdin": True})
    answer = service.client.post(f"/{job_id}/stdin?eof=true", content=b"one\ntwo\n")
    assert answer.json() == {"Offset": 8}
    assert service.wait(job_id)["ExitCode"] == 0
    assert service.output(job_id) == b"one\ntwo\n"


@pytest.mark.parametrize("where", ["as_nobody", "sandboxed", "both"])
def test_a_long_script_can_be_read_and_not_replaced(
    where: str, request: pytest.FixtureRequest
) -> None:
    service: Service = request.getfixturevalue(where)
    script = "\n".join([f": {'x' * 99}"] * 3000)
    line = 'trap "echo rest" EXIT; id -un; ! mv ../script-0 ../other 2>/dev/null'
    assert said(service, f"{script}\n{line}").split() == [
        USER if where != "sandboxed" else "root",
        "rest",
    ]


def test_directories_that_are_made_for_a_job_are_its_users(as_nobody: Service) -> None:
    job = {"CommandLine": "stat -c %U . .. ../..; touch made", "WorkingDir": "a/b"}
    assert said(as_nobody, job).split() == [USER] * 3


def test_a_job_reaches_nothing_of_the_services(as_nobody: Service) -> None:
    state = as_nobody.state_dir
    other = as_nobody.run("echo secret")["ID"]
    for path in (state / "jobs.db", state / "logs" / other / "output", state / "supervisor.lock"):
        assert path.is_file()
        view = as_nobody.run(f"cat {path}")
        assert view["ExitCode"] == 1
        assert b"Permission denied" in as_nobody.output(view["ID"])
    for line in (f"ls {state}", f"ls {state}/jobs", f"touch {state}/jobs/{other}/x"):
        assert as_nobody.run(line)["ExitCode"] != 0
    connect = f'import socket; socket.socket(socket.AF_UNIX).connect("{state}/supervisor.sock")'
    view = as_nobody.run(f"python3 -c '{connect}'")
    assert b"PermissionError" in as_nobody.output(view["ID"])


def test_a_link_of_a_job_leads_the_service_nowhere_that_its_user_may_not_go(
    as_nobody: Service, tmp_path: Path
) -> None:
    target = tmp_path / "of-root"
    target.mkdir(mode=0o755)
    view = as_nobody.run(
        {
            "Commands": [
                {"CommandLine": f"ln -s {target} src"},
                {"CommandLine": "touch made", "WorkingDir": "src/deep"},
            ]
        }
    )
    assert view["Commands"][1]["Error"].endswith("leads out of the job's own by a link.")
    assert view["Commands"][1]["ExitCode"] is None
    assert list(target.iterdir()) == []


def test_a_directory_that_its_user_may_not_enter_is_told(as_nobody: Service, place: Path) -> None:
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    view = as_nobody.run({"CommandLine": "pwd", "WorkingDir": str(closed)})
    assert view["Error"] == f"The working directory {str(closed)!r} may not be entered."
    missing = as_nobody.run({"CommandLine": "pwd", "WorkingDir": str(place / "none")})
    assert missing["Error"].endswith("does not exist.")
    assert said(as_nobody, {"CommandLine": "pwd", "WorkingDir": "/usr"}) == "/usr\n"


def test_a_tree_of_another_user_is_killed_whole(as_nobody: Service) -> None:
    line = "trap '' TERM; setsid bash -c 'trap \"\" TERM; echo $$; sleep 600' & echo $$; wait"
    job_id = as_nobody.submit(line)
    pids = lines(as_nobody, job_id, 2)
    receipt = as_nobody.kill(job_id, grace=0, wait="true")
    assert receipt["State"] == "killed"
    assert as_nobody.show(job_id)["Kill"]["VerifiedGone"]
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists() and state_of(pid) != "Z"]


def state_of(pid: str) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_clean_takes_what_another_user_wrote(as_nobody: Service) -> None:
    view = as_nobody.run("mkdir -p a/b; chmod 0500 a; touch c; ln -s / d")
    directory = as_nobody.state_dir / "jobs" / view["ID"]
    assert (directory / "work" / "c").is_file()
    assert as_nobody.client.post(f"/{view['ID']}/clean").status_code == 200
    assert not directory.exists()


def test_limits_hold_for_another_user(as_nobody: Service) -> None:
    job = {"CommandLine": "ulimit -n; id -un", "Limits": {"OpenFiles": 64, "PIDs": 20}}
    answer = as_nobody.client.post("/", json=job)
    if answer.status_code == 422:
        pytest.skip(answer.json()["detail"])
    job_id = answer.json()["ID"]
    as_nobody.wait(job_id)
    assert as_nobody.output(job_id).split() == [b"64", USER.encode()]


# The start


def refused(
    state_dir: Path, path: str | None = None, flags: tuple[str, ...] = (), **settings: str
) -> str:
    """What a start says that is refused with exit status 2."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("JOBRUNNER_")}  # noqa: TID251 - what a person's shell would pass
    done = subprocess.run(
        [sys.executable, "-m", "sanic", "service.app", "--single-process", *flags],
        env={
            **inherited,
            **({} if path is None else {"PATH": path}),
            "JOBRUNNER_STATE_DIR": str(state_dir),
            "JOBRUNNER_PORT": str(free_port()),
            **{f"JOBRUNNER_{name}": value for name, value in settings.items()},
        },
        capture_output=True,
        text=True,
        timeout=START_FUSE_S,
        check=False,
    )
    assert done.returncode == 2, done.stdout + done.stderr
    return done.stderr


@pytest.mark.parametrize("name", ["nobody-of-that-name", "root", "nobody:no-such-group", "a b"])
def test_a_user_that_jobs_cannot_run_as_is_refused(place: Path, name: str) -> None:
    assert f"JOBRUNNER_RUN_AS is {name!r}, expected" in refused(place / "bad", RUN_AS=name)


def test_a_state_directory_that_the_user_cannot_reach_is_refused(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    told = refused(closed / "state", RUN_AS=USER)
    assert "may not pass to the state directory" in told
    assert "711" in told


def test_root_with_tokens_says_whom_jobs_run_as(place: Path) -> None:
    state_dir = place / "tokens"
    state_dir.mkdir(mode=0o711)
    tokens.create(state_dir, "ann", [Scope.RUN])
    told = refused(state_dir)
    assert "JOBRUNNER_RUN_AS" in told
    assert "JOBRUNNER_ALLOW_ROOT_JOBS=1" in told
    for settings in ({"RUN_AS": USER, "ALLOW_ROOT_JOBS": "0"}, {"ALLOW_ROOT_JOBS": "1"}):
        environment = {f"JOBRUNNER_{name}": value for name, value in settings.items()}
        with running(state_dir, environment=environment) as service:
            assert service.client.get("/").status_code == 401


def test_the_first_token_does_not_end_a_service_that_is_root(place: Path) -> None:
    environment = {"JOBRUNNER_ALLOW_ROOT_JOBS": "0"}
    with running(place / "first", environment=environment) as service:
        assert any("jobs_run_as_root" in line for line in service.lines)
        made = jobrunner(service, "token", "create", "--name", "ann", "--scope", "run")
        assert "The next start will be refused." in made.stderr
        token = made.stdout.split()[-1]
        headers = {"Authorization": f"Bearer {token}"}
        answer = service.client.post("/", json={"CommandLine": "true"}, headers=headers)
        assert answer.status_code == 201
    assert "JOBRUNNER_RUN_AS" in refused(place / "first")


def jobrunner(
    service: Service, *arguments: str, **settings: str
) -> subprocess.CompletedProcess[str]:
    environment = {f"JOBRUNNER_{name}": value for name, value in settings.items()}
    return subprocess.run(
        [sys.executable, "-m", "service", *arguments],
        env={**os.environ, "JOBRUNNER_STATE_DIR": str(service.state_dir), **environment},  # noqa: TID251 - what a person's shell would pass
        capture_output=True,
        text=True,
        timeout=START_FUSE_S,
        check=False,
    )


@pytest.mark.usefixtures("bubblewrap")
def test_doctor_says_whom_jobs_run_as(as_nobody: Service) -> None:
    assert f"Jobs run as the user '{USER}'." in jobrunner(as_nobody, "doctor", RUN_AS=USER).stdout
    assert "Jobs run as root." in jobrunner(as_nobody, "doctor").stdout
    inside = jobrunner(as_nobody, "doctor", RUN_AS=USER, SANDBOX="bwrap").stdout
    assert f"Jobs run as the user '{USER}', in a sandbox." in inside
    assert "There are no tokens" in inside


# The sandbox


@pytest.fixture(params=["sandboxed", "both"])
def inside(request: pytest.FixtureRequest) -> Service:
    service: Service = request.getfixturevalue(request.param)
    return service


def test_a_sandbox_shows_a_system_that_cannot_be_changed(inside: Service) -> None:
    """But for its own directories, and with nobody else in it."""
    assert said(inside, "echo kept > file; cat file; echo x > /tmp/y; cat /tmp/y") == "kept\nx\n"
    assert not Path("/tmp/y").exists()
    for path in ("/etc/x", "/usr/x", "/x", "/home/x"):
        view = inside.run(f"touch {path}")
        assert view["ExitCode"] == 1
        assert not Path(path).exists()
    assert said(inside, "ls -A /run; ls -A /tmp | grep -v pytest; true") in (
        "",
        f"{first(inside)}\n",
    )
    assert said(inside, "grep CapEff /proc/self/status").split()[1] == "0" * 16
    processes = said(inside, "ls -d /proc/[0-9]*").split()
    assert len(processes) <= 4


def first(service: Service) -> str:
    """The part of the state directory's path that lies in /tmp itself, when it is there."""
    parts = service.state_dir.parts
    return parts[2] if parts[1] == "tmp" else ""


def test_a_sandbox_hides_the_state_directory(inside: Service) -> None:
    other = inside.run("echo secret")["ID"]
    state = inside.state_dir
    assert inside.run(f"cat {state}/jobs.db")["ExitCode"] == 1
    assert inside.run(f"cat {state}/logs/{other}/output")["ExitCode"] == 1
    job_id = inside.submit(f"ls {state} {state}/jobs")
    inside.wait(job_id)
    assert inside.output(job_id).decode().split() == [f"{state}:", "jobs", f"{state}/jobs:", job_id]


def test_a_sandbox_has_a_network_only_when_asked(inside: Service) -> None:
    connect = f"exec 3<>/dev/tcp/127.0.0.1/{inside.port} && echo connected"
    assert inside.run(connect)["ExitCode"] != 0
    assert inside.run({"Commands": [{"CommandLine": connect, "Network": "none"}]})["ExitCode"] != 0
    asked = {"Commands": [{"CommandLine": connect, "Network": "host"}]}
    assert said(inside, asked) == "connected\n"


def test_without_a_sandbox_no_network_cannot_be_promised(as_nobody: Service) -> None:
    body = {"Commands": [{"CommandLine": "true", "Network": "none"}]}
    problem = assert_problem(as_nobody.client.post("/", json=body), 422)
    assert problem["errors"][0]["pointer"] == "/Commands/0/Network"
    assert "JOBRUNNER_SANDBOX" in problem["errors"][0]["detail"]
    body["Commands"][0]["Network"] = "host"
    assert as_nobody.run(body)["ExitCode"] == 0


@pytest.mark.parametrize("code", [0, 7, 255])
def test_exit_codes_come_out_of_a_sandbox(inside: Service, code: int) -> None:
    view = inside.run(f"echo out; echo err >&2; exit {code}")
    assert view["ExitCode"] == code
    assert inside.output(view["ID"], stream="stdout") == b"out\n"
    assert inside.output(view["ID"], stream="stderr") == b"err\n"


def test_sequences_share_their_directory_in_sandboxes(inside: Service) -> None:
    view = inside.run(
        {
            "Commands": [
                {"CommandLine": "echo made > it", "WorkingDir": "a/b"},
                {"CommandLine": "pwd; cat b/it", "WorkingDir": "a"},
                {"CommandLine": "pwd", "WorkingDir": "/usr/share"},
            ]
        }
    )
    own = f"{inside.state_dir}/jobs/{view['ID']}/work"
    assert inside.output(view["ID"]).decode() == f"{own}/a\nmade\n/usr/share\n"
    hidden = inside.run({"CommandLine": "pwd", "WorkingDir": "/tmp"})
    assert hidden["Error"] == "The working directory '/tmp' is not in the sandbox."


def test_a_kill_reaches_into_a_sandbox_and_leaves_time_for_traps(inside: Service) -> None:
    line = "trap 'echo bye; exit 3' TERM; setsid sleep 600 & echo ready; wait"
    job_id = inside.submit(line)
    assert lines(inside, job_id, 1) == ["ready"]
    assert inside.kill(job_id, wait="true")["State"] == "killed"
    assert inside.output(job_id) == b"ready\nbye\n"
    view = inside.show(job_id)
    assert (view["Kill"]["Escalated"], view["Kill"]["VerifiedGone"]) == (False, True)


def test_a_signal_reaches_what_runs_in_a_sandbox_and_leaves_it_running(inside: Service) -> None:
    job_id = inside.submit(
        "trap 'echo got' HUP; bash -c 'echo ready; exec sleep 600' & wait; wait; exit 3"
    )
    assert lines(inside, job_id, 1) == ["ready"]
    answer = inside.client.post(f"/{job_id}/signal?signal=HUP")
    assert answer.json() == {"ID": job_id, "Signal": "SIGHUP", "Processes": 2}
    assert inside.wait(job_id)["ExitCode"] == 3
    assert inside.output(job_id) == b"ready\ngot\n"


def test_a_sandbox_that_ignores_term_is_killed(inside: Service) -> None:
    job_id = inside.submit("trap '' TERM; echo ready; while :; do sleep 600; done")
    assert lines(inside, job_id, 1) == ["ready"]
    assert inside.kill(job_id, grace=0.2, wait="true")["State"] == "killed"
    assert inside.show(job_id)["Kill"]["VerifiedGone"]


def test_what_a_command_leaves_in_a_sandbox_ends_with_it(inside: Service) -> None:
    view = inside.run("sleep 600 & echo $!")
    assert view["ExitCode"] == 0
    assert view["Output"]["Complete"]


@pytest.mark.parametrize("way", ["setting", "option"])
def test_a_socket_that_commands_in_a_sandbox_would_see_is_refused(
    place: Path, bubblewrap: None, way: str
) -> None:
    seen = "/srv/jobrunner.sock"
    told = (
        refused(place / "seen", SANDBOX="bwrap", SOCKET=seen)
        if way == "setting"
        else refused(place / "seen", flags=("--unix", seen), SANDBOX="bwrap")
    )
    assert f"would reach the service by its Unix socket {seen!r}" in told
    assert not os.path.exists(seen)


def test_no_command_in_a_sandbox_reaches_the_socket_of_the_service(
    place: Path, bubblewrap: None
) -> None:
    state_dir = place / "hidden"
    environment = {"JOBRUNNER_SANDBOX": "bwrap", "JOBRUNNER_SOCKET": str(state_dir / "s")}
    with running(state_dir, environment=environment) as service:
        assert (state_dir / "s").is_socket()
        assert said(service, f"ls -a {state_dir}").split() == [".", "..", "jobs"]


def test_a_sandbox_that_is_not_installed_is_no_start(place: Path, tmp_path: Path) -> None:
    told = refused(place / "none", path=str(tmp_path), SANDBOX="bwrap")
    assert "JOBRUNNER_SANDBOX" in told
    told = refused(place / "none", path=str(tmp_path), PID_NAMESPACE="on")
    assert "JOBRUNNER_PID_NAMESPACE): bubblewrap (the program bwrap) is not installed." in told
