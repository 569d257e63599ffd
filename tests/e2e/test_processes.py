"""What a job's process finds when it starts, and how its end is told.

The service of these tests is started in odd surroundings, of which a job must see nothing: signals
ignored and blocked, an open descriptor to inherit, variables of its own.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from running import Service, running

from service.supervisor.process.marks import mark_of

pytestmark = pytest.mark.e2e

SOFT_DESCRIPTORS = 777
ODDLY = f"""
import os, resource, signal, sys
for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1):
    signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGUSR2, signal.SIGALRM))
os.umask(0o027)
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, ({SOFT_DESCRIPTORS}, hard))
os.dup2(os.open("/dev/null", os.O_RDWR), 50, inheritable=True)
os.environ.pop("LANG", None)
os.execv(sys.executable, [sys.executable, "-m", "sanic", "service.app", *sys.argv[1:]])
"""
SURROUNDINGS = {
    "HOME": "/root/of/tests",
    "USER": "tester",
    "TZ": "Asia/Kolkata",
    "SECRET": "of-the-service",
    "LC_ALL": "C",
    "BASH_FUNC_ls%%": "() { echo a function of the service; }",
    "JOBRUNNER_LOG_FORMAT": "json",
}
# What else the service inherits of it; LANG it is started without.
LOCALE = {name: value for name, value in os.environ.items() if name.startswith("LC_")}  # noqa: TID251 - what the service was started with


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    state_dir = tmp_path_factory.mktemp("state") / "jobrunner"
    with running(state_dir, command=("-c", ODDLY), environment=SURROUNDINGS) as service:
        yield service


def output_of(service: Service, job: dict[str, Any] | str, **parameters: Any) -> str:
    """What a job wrote that exited with 0."""
    view = service.run(job)
    assert (view["State"], view["ExitCode"]) == ("exited", 0), view
    return service.output(view["ID"], **parameters).decode()


# Surroundings


def test_each_command_leads_a_session_of_its_own_without_a_terminal(service: Service):
    stat = {"CommandLine": "read -r -a fields < /proc/$$/stat; echo $$ ${fields[*]:2}"}
    output = output_of(service, {"Commands": [stat, stat]})
    seen = [[int(f) for f in line.split()[:1] + line.split()[2:6]] for line in output.splitlines()]
    for pid, parent, group, session, terminal in seen:
        assert pid == group == session
        assert parent == service.supervisor_pid()
        assert terminal == 0
    assert seen[0] != seen[1]


def test_stdin_is_at_its_end(service: Service):
    assert output_of(service, "wc -c; read -r line; echo $?") == "0\n1\n"


def test_only_descriptors_0_to_2_are_open(service: Service):
    script = {"CommandLine": "ls /proc/$$/fd; :"}
    with ThreadPoolExecutor(8) as pool:
        jobs = [{"Commands": [script, script]}] * 16
        outputs = list(pool.map(lambda job: output_of(service, job), jobs))
    assert set(outputs) == {"0\n1\n2\n0\n1\n2\n"}


def test_environment_is_the_base_the_jobs_the_commands_and_two_names(service: Service):
    view = service.run(
        {
            "Environment": {"CI": "1", "BOTH": "job", "EMPTY": "", "ODD NAME-1": "a\nb"},
            "Commands": [
                {
                    "CommandLine": "cat /proc/$$/environ; :",
                    "Environment": {"BOTH": "command", "ü": "é\\ '\""},
                }
            ],
        }
    )
    found = environment(service.output(view["ID"]))
    assert found == {
        "PATH": os.environ["PATH"],  # noqa: TID251 - what the service was started with
        "HOME": "/root/of/tests",
        "USER": "tester",
        "TZ": "Asia/Kolkata",
        **LOCALE,
        "LC_ALL": "C",
        "CI": "1",
        "BOTH": "command",
        "EMPTY": "",
        "ODD NAME-1": "a\nb",
        "ü": "é\\ '\"",
        "JOBRUNNER_JOB_ID": view["ID"],
        "JOBRUNNER_COMMAND": "0",
        "JOBRUNNER_STATE": mark_of(service.state_dir),
    }


def test_bash_adds_nothing_but_what_bash_always_adds(service: Service):
    found = environment(output_of(service, "env -0").encode())
    base = {
        "PATH",
        "HOME",
        "USER",
        "TZ",
        "LC_ALL",
        *LOCALE,
        "JOBRUNNER_JOB_ID",
        "JOBRUNNER_COMMAND",
        "JOBRUNNER_STATE",
    }
    assert base <= found.keys() <= base | {"PWD", "OLDPWD", "SHLVL", "_"}


def test_names_of_job_and_command_cannot_be_forged(service: Service):
    forged = {"JOBRUNNER_JOB_ID": "other", "JOBRUNNER_COMMAND": "9", "JOBRUNNER_STATE": "mine"}
    script = {
        "CommandLine": "echo $JOBRUNNER_JOB_ID $JOBRUNNER_COMMAND $JOBRUNNER_STATE",
        "Environment": forged,
    }
    view = service.run({"Environment": forged, "Commands": [script, script]})
    mark = mark_of(service.state_dir)
    assert service.output(view["ID"]).decode() == f"{view['ID']} 0 {mark}\n{view['ID']} 1 {mark}\n"


def environment(block: bytes) -> dict[str, str]:
    entries = [entry.decode().partition("=") for entry in block.split(b"\0") if entry]
    assert len(entries) == len({name for name, _, _ in entries})
    return {name: value for name, _, value in entries}


def test_no_signal_is_ignored_or_blocked(service: Service):
    output = output_of(service, "exec grep -E '^Sig(Blk|Ign)' /proc/self/status")
    assert output.split() == ["SigBlk:", "0" * 16, "SigIgn:", "0" * 16]


def test_descriptor_limit_is_the_services(service: Service):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert output_of(service, "ulimit -Sn; ulimit -Hn").split() == [
        str(SOFT_DESCRIPTORS),
        str(hard),
    ]


def test_umask_is_the_services(service: Service):
    assert output_of(service, "umask") == "0027\n"


def test_job_works_in_a_directory_of_its_own(service: Service):
    first, second = (service.run("pwd; ls -A; touch file") for _ in range(2))
    for view in (first, second):
        assert service.output(view["ID"]).decode() == f"{view['WorkingDir']}\n"
    assert first["WorkingDir"] != second["WorkingDir"]


def test_job_that_sets_path_still_finds_bash(service: Service):
    job = {"CommandLine": "echo $PATH; type -t ls || echo none", "Environment": {"PATH": "/none"}}
    assert output_of(service, job) == "/none\nnone\n"


def test_profile_and_rc_files_are_not_read(service: Service, tmp_path: Path):
    for name in (".bashrc", ".profile", ".bash_profile"):
        (tmp_path / name).write_text("echo read\n")
    assert output_of(service, {"CommandLine": ":", "Environment": {"HOME": str(tmp_path)}}) == ""


def test_output_by_the_names_of_the_streams(service: Service):
    assert output_of(service, "echo hi > /dev/stdout; echo ho >> /dev/stdout") == "hi\nho\n"
    view = service.run("echo both | tee /dev/stderr; echo err > /dev/stderr; echo x >&2")
    assert view["ExitCode"] == 0
    assert service.output(view["ID"], stream="stdout") == b"both\n"
    assert service.output(view["ID"], stream="stderr") == b"both\nerr\nx\n"


def test_command_line_comes_through_byte_for_byte(service: Service):
    odd = "\ta\\b\"c'd $HOME `x` é € 😀 \x01\x7f * ? [a] \r"
    job = {"CommandLine": f"cat <<'END'\n{odd}\n\nEND\n"}
    view = service.run(job)
    assert service.output(view["ID"]).decode() == f"{odd}\n\n"
    assert view["Commands"][0]["CommandLine"] == job["CommandLine"]


# Outcomes


@pytest.mark.parametrize("code", [0, 1, 2, 127, 128, 255])
def test_exit_code_is_told(service: Service, code: int):
    view = service.run(f"exit {code}")
    assert (view["State"], view["Reason"]) == ("exited", None)
    for told in (view, view["Commands"][0]):
        assert (told["State"], told["ExitCode"], told["Signal"]) == ("exited", code, None)
        assert told["Error"] is None


@pytest.mark.parametrize("name", ["SEGV", "ABRT", "TERM", "KILL", "HUP", "PIPE"])
def test_death_by_a_signal_of_its_own_is_an_exit(service: Service, name: str):
    view = service.run(f"kill -{name} $$")
    for told in (view, view["Commands"][0]):
        assert (told["State"], told["ExitCode"], told["Signal"]) == ("exited", None, f"SIG{name}")
    assert (view["Reason"], view["Kill"]) == (None, None)


def test_death_by_a_signal_without_a_name_is_told(service: Service):
    assert service.run("kill -50 $$")["Signal"] == "SIGRTMIN+16"


def assert_not_started(view: dict[str, Any]) -> str:
    """The sentence that says why the job's only command wasn't started."""
    for told in (view, view["Commands"][0]):
        assert (told["State"], told["ExitCode"], told["Signal"]) == ("exited", None, None)
        assert told["StartedAt"] is None
        assert told["FinishedAt"] is not None
    assert view["Error"] == view["Commands"][0]["Error"]
    assert (view["Reason"], view["Kill"]) == (None, None)
    assert view["Output"] == {**view["Output"], "Bytes": 0, "Complete": True}
    error: str = view["Error"]
    assert error.endswith(".")
    return error


def test_missing_absolute_directory_is_an_outcome(service: Service, tmp_path: Path):
    missing = tmp_path / "missing"
    view = service.run({"CommandLine": "echo never", "WorkingDir": str(missing)})
    assert str(missing) in assert_not_started(view)
    assert service.output(view["ID"]) == b""
    assert not missing.exists()


def test_directory_that_is_a_file_is_an_outcome(service: Service):
    error = assert_not_started(service.run({"CommandLine": "true", "WorkingDir": "/etc/passwd"}))
    assert "/etc/passwd" in error


def test_absolute_directory_that_exists_is_used(service: Service, tmp_path: Path):
    view = service.run({"CommandLine": "pwd", "WorkingDir": str(tmp_path)})
    assert service.output(view["ID"]).decode() == f"{tmp_path}\n"
    assert view["WorkingDir"] == str(tmp_path)


@pytest.mark.parametrize("size", [100_000, 1_000_000])
def test_command_line_of_any_length_is_run(service: Service, size: int):
    assert output_of(service, f"x={'y' * size}; echo ${{#x}}") == f"{size}\n"


def test_environment_of_500_kilobytes_comes_through(service: Service):
    variables = {f"V{n}": str(n) * 125 + "x" * 750 for n in range(500)}
    assert sum(map(len, variables.values())) > 500_000
    block = output_of(service, {"CommandLine": "cat /proc/$$/environ; :", "Environment": variables})
    found = environment(block.encode())
    assert {name: found.get(name) for name in variables} == variables


@pytest.mark.parametrize(
    "job",
    [
        {"CommandLine": "true", "Environment": {"V": "x" * 140_000}},
        {"CommandLine": "true", "Environment": {f"V{n}": "x" * 100_000 for n in range(30)}},
    ],
    ids=["one variable", "all variables"],
)
def test_more_than_the_kernel_takes_is_an_outcome(service: Service, job: dict[str, Any]):
    assert "longer than the kernel takes" in assert_not_started(service.run(job))
    assert service.run("true")["ExitCode"] == 0


def test_job_without_a_bash_is_an_outcome(state_dir: Path):
    with running(state_dir, "--single-process", environment={"PATH": "/none"}) as service:
        view = service.run("true")
        assert "'bash'" in assert_not_started(view)
        assert service.output(view["ID"]) == b""
        assert service.client.post(f"/{view['ID']}/clean").status_code == 200
