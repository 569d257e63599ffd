"""Settings from the environment: checked when the service starts, and in force afterwards."""

from __future__ import annotations

import json
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest
from answers import assert_problem
from running import START_FUSE_S, Service, free_port, running

from service.app import create_app
from service.kinds.settings import declared_settings

pytestmark = pytest.mark.e2e

# No number, no word, no host, no absolute path.
NEVER_GOOD = "no/such value!"
# What is easily mistaken for a good value.
NEARLY_GOOD = [
    ("JOBRUNNER_HOSTNAME", "http://localhost"),
    ("JOBRUNNER_PORT", "65536"),
    ("JOBRUNNER_MAX_RUNNING", "0"),
    ("JOBRUNNER_SHUTDOWN", "KILL"),
    ("JOBRUNNER_SHUTDOWN_GRACE", "-1"),
    ("JOBRUNNER_DRAIN_GRACE", "nan"),
    ("JOBRUNNER_MAX_BODY", "8M"),
]
BAD_VALUES = [*((setting.variable, NEVER_GOOD) for setting in declared_settings()), *NEARLY_GOOD]


def ended(service: Service) -> tuple[int, list[str]]:
    """The exit status of a service that ends by itself, and what it said."""
    status = service.process.wait(START_FUSE_S)
    service.close()
    return status, service.lines


@contextmanager
def started(state_dir: Path, *arguments: str, **settings: str) -> Iterator[Service]:
    """A service that listens wherever it was told to."""
    service = Service(state_dir, "--single-process", *arguments, environment=settings)
    try:
        service.wait_for_line("worker_ready")
        yield service
    finally:
        service.close()


@pytest.mark.parametrize(("variable", "value"), BAD_VALUES)
def test_bad_value_is_told_in_a_sentence_and_ends_the_start(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variable: str,
    value: str,
    state_dir: Path,
):
    monkeypatch.setenv("JOBRUNNER_STATE_DIR", str(state_dir))
    monkeypatch.setenv(variable, value)
    with pytest.raises(SystemExit) as ending:
        create_app()

    (expected,) = [
        setting.expected for setting in declared_settings() if setting.variable == variable
    ]
    assert ending.value.code == 2
    said = capsys.readouterr().err
    assert said == f"jobrunner: {variable} is {value!r}, expected {expected}.\n"
    assert not state_dir.exists()


@pytest.mark.parametrize("flags", [("--single-process",), ("--workers", "2")])
def test_exit_status_after_a_bad_value_is_2(state_dir: Path, flags: tuple[str, ...]):
    status, said = ended(Service(state_dir, *flags, environment={"JOBRUNNER_PORT": "-1"}))
    assert status == 2
    assert len(said) == 1
    assert said[0].startswith("jobrunner: JOBRUNNER_PORT is '-1', expected ")
    assert not state_dir.exists()


# Where it listens


def test_port_flag_wins_and_hostname_serves(state_dir: Path):
    port = free_port()
    with started(
        state_dir, "--port", str(port), JOBRUNNER_HOSTNAME="127.0.0.2", JOBRUNNER_MAX_BODY="1024"
    ) as service:
        url = f"http://127.0.0.2:{port}/"
        assert httpx.get(url).json() == {"IDs": [], "Total": 0}
        for elsewhere in (
            service.url,
            f"http://127.0.0.1:{port}",
            f"http://127.0.0.2:{service.port}",
        ):
            with pytest.raises(httpx.ConnectError):
                httpx.get(elsewhere)

        body = json.dumps({"CommandLine": ":"}).encode()
        headers = {"Content-Type": "application/json"}
        fits, exceeds = (
            httpx.post(url, content=body.ljust(size), headers=headers) for size in (1024, 1025)
        )
        assert fits.status_code == 201
        assert "1024" in assert_problem(exceeds, 413)["detail"]


def test_host_flag_wins_and_port_serves(state_dir: Path):
    settings = {"JOBRUNNER_HOSTNAME": "127.0.0.2", "JOBRUNNER_PROT": "1"}
    with started(state_dir, "--host", "127.0.0.3", **settings) as service:
        assert httpx.get(f"http://127.0.0.3:{service.port}/").json() == {"IDs": [], "Total": 0}
        for host in ("127.0.0.1", "127.0.0.2"):
            with pytest.raises(httpx.ConnectError):
                httpx.get(f"http://{host}:{service.port}/")


@pytest.mark.parametrize("flags", [("--workers", "2"), ("--single-process",)])
def test_variable_that_is_no_setting_is_told_once(state_dir: Path, flags: tuple[str, ...]):
    with running(state_dir, *flags, environment={"JOBRUNNER_PROT": "1"}) as service:
        told = [line for line in service.lines if "JOBRUNNER_PROT is no setting" in line]
    assert len(told) == 1
    assert told[0].endswith("the nearest one is JOBRUNNER_PORT.")


# Defaults


def test_empty_value_counts_as_unset(tmp_path: Path):
    empty = {setting.variable: "" for setting in declared_settings()}
    port = free_port()
    with started(
        tmp_path / "unused", "--port", str(port), **empty, XDG_STATE_HOME=str(tmp_path / "xdg")
    ):
        assert httpx.get(f"http://127.0.0.1:{port}/health/ready").status_code == 200
        assert (tmp_path / "xdg/jobrunner/jobs.db").exists()
    assert not (tmp_path / "unused").exists()


def test_state_directory_is_below_home_by_default(tmp_path: Path):
    port = free_port()
    unset = {"JOBRUNNER_STATE_DIR": "", "XDG_STATE_HOME": "relative/is/ignored"}
    with started(tmp_path / "unused", "--port", str(port), **unset, HOME=str(tmp_path)):
        assert (tmp_path / ".local/state/jobrunner/jobs.db").exists()


# The state directory


def test_second_service_on_a_state_directory_is_refused(state_dir: Path):
    with running(state_dir, "--single-process") as first:
        status, said = ended(Service(state_dir))
        assert status == 2
        assert len(said) == 1
        assert said[0].startswith(f"jobrunner: The state directory {state_dir} is in use ")
        assert f"pid {first.process.pid}" in said[0]
        assert first.run("echo still")["ExitCode"] == 0


def a_file(path: Path) -> None:
    path.write_text("not a directory")


def below_a_file(path: Path) -> None:
    path.parent.rmdir()
    a_file(path.parent)


def records_of_a_newer_release(path: Path) -> None:
    path.mkdir()
    with closing(sqlite3.connect(path / "jobs.db")) as db:
        db.execute("PRAGMA user_version = 1000")


def records_that_are_none(path: Path) -> None:
    path.mkdir()
    (path / "jobs.db").write_text("this is no database, whatever its name says" * 100)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (a_file, "can't be used: "),
        (below_a_file, "can't be used: "),
        (records_of_a_newer_release, "schema version 1000"),
        (records_that_are_none, "can't be opened: "),
    ],
)
def test_state_directory_that_cannot_be_used_is_refused(
    tmp_path: Path, make: Callable[[Path], None], says: str
):
    state_dir = tmp_path / "parent" / "jobrunner"
    state_dir.parent.mkdir()
    make(state_dir)
    refused = Service(tmp_path / "unused", environment={"JOBRUNNER_STATE_DIR": str(state_dir)})
    status, said = ended(refused)
    assert status == 2
    assert len(said) == 1
    assert said[0].startswith("jobrunner: The ")
    assert says in said[0]


def test_state_directory_is_made_and_shows_nothing_to_others(tmp_path: Path):
    state_dir = tmp_path / "some" / "where" / ("deep" * 40)
    state_dir.parent.parent.mkdir()
    (tmp_path / "some/where").mkdir()
    settings = {"JOBRUNNER_LOG_FORMAT": "json"}
    with running(state_dir, "--single-process", environment=settings) as service:
        view = service.run("echo secret; echo x > file")
        own = state_dir / "jobs" / view["ID"]
        log = state_dir / "logs" / view["ID"]
        for directory in (state_dir, state_dir / "jobs", own):
            assert stat.S_IMODE(directory.stat().st_mode) == 0o711
        for directory in (own / "work", log.parent, log):
            assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        files = [p for d in (state_dir, own, log) for p in d.iterdir() if p.is_file()]
        assert {log / "output", log / "runs", state_dir / "jobs.db"} < set(files)
        assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}

        connected = json.loads(service.wait_for_line("supervisor_connected"))
        assert connected["event"] == "supervisor_connected"
