"""Settings as values: each read and bounded, and what is wrong told with its name and its text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.kinds.docker.settings import DockerSettings
from service.kinds.settings import declared_settings, read_settings
from service.settings import (
    PREFIX,
    OnShutdown,
    Percentage,
    SettingError,
    Settings,
    declared,
)

BASE = {"JOBRUNNER_STATE_DIR": "/state"}


def read(**variables):
    return read_settings({**BASE, **variables})


def refusal(name, text):
    with pytest.raises(SettingError) as refused:
        read(**{PREFIX + name: text})
    assert refused.value.variable == PREFIX + name
    return str(refused.value)


def test_every_default_can_be_read():
    settings = read()
    assert (settings.hostname, settings.port) == ("127.0.0.1", 8080)
    assert settings.shutdown is OnShutdown.KILL
    assert settings.drain_grace == 2.0
    assert settings.unknown == ()


def test_an_empty_variable_is_as_good_as_none():
    assert read(**{s.variable: "" for s in declared_settings() if s.name != "STATE_DIR"}) == read()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("PORT", "65536"),
        ("PORT", "-1"),
        ("PORT", "http"),
        ("PORT", "80 80"),
        ("PORT", "٨٠"),
        ("PORT", "1" * 5000),
        ("HOSTNAME", "a b"),
        ("HOSTNAME", "http://a"),
        ("SOCKET", "relative/socket"),
        ("SOCKET", "/"),
        ("SOCKET", "/" + "é" * 54),
        ("SOCKET_MODE", "66"),
        ("SOCKET_MODE", "888"),
        ("SOCKET_MODE", "1777"),
        ("SOCKET_GROUP", "no-group-of-that-name"),
        ("SHELLS", "/bin/bash"),
        ("STATE_DIR", "relative"),
        ("STATE_DIR", "~nobody-of-that-name/x"),
        ("MAX_RUNNING", "0"),
        ("MAX_RUNNING", "100001"),
        ("MAX_RUNNING", "1.5"),
        ("SHUTDOWN", "Kill"),
        ("SHUTDOWN_GRACE", "8.1"),
        ("SHUTDOWN_GRACE", "nan"),
        ("SHUTDOWN_GRACE", "-0.1"),
        ("MAX_BODY", "1023"),
        ("MAX_BODY", "8M"),
        ("OUTPUT_LIMIT", "65535"),
        ("DRAIN_GRACE", "inf"),
        ("CGROUP", "on"),
        ("RETAIN_BYTES", "0%"),
        ("RETAIN_BYTES", "101%"),
        ("RETAIN_BYTES", "%"),
        ("ALLOWED_ORIGINS", "*"),
        ("ALLOWED_ORIGINS", "null"),
        ("ALLOWED_ORIGINS", "ui.example"),
        ("ALLOWED_ORIGINS", "https://ui.example/"),
        ("ALLOWED_ORIGINS", "https://*.example"),
        ("ALLOWED_ORIGINS", "https://a@b"),
        ("ALLOWED_ORIGINS", "https://a:0"),
        ("ALLOWED_ORIGINS", "https://a,,https://b"),
        ("ALLOWED_ORIGINS", "file:///a"),
        ("LOG_FORMAT", "xml"),
        ("PREFIX", "jobs"),
        ("PREFIX", "/jobs/"),
        ("PREFIX", "/"),
        ("PREFIX", "/a/../b"),
        ("PREFIX", "/a b"),
        ("PREFIX", "/a%20b"),
        ("PREFIX", "/a\r\nX: y"),
    ],
)
def test_what_is_wrong_is_told_with_its_name_its_text_and_what_was_expected(name, text):
    (setting,) = (setting for setting in declared_settings() if setting.name == name)
    expected = f"{PREFIX}{name} is {text!r}, expected {setting.expected}."
    assert refusal(name, text) == expected


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("PORT", "0", 0),
        ("HOSTNAME", "::1", "::1"),
        ("SHUTDOWN", "leave", OnShutdown.LEAVE),
        ("SHUTDOWN_GRACE", "0", 0.0),
        ("DRAIN_GRACE", ".25", 0.25),
        ("OUTPUT_LIMIT", "65536", 65536),
        ("RETAIN_BYTES", "7%", Percentage(7)),
        (
            "ALLOWED_ORIGINS",
            "https://UI.example:443, http://[::1]:8080,http://a:80",
            {"https://ui.example", "http://[::1]:8080", "http://a"},
        ),
        ("RETAIN_BYTES", "7", 7),
        ("PREFIX", "/team-1/jobs.v2", "/team-1/jobs.v2"),
    ],
)
def test_what_is_right_is_read(name, text, value):
    settings = read(**{PREFIX + name: text})
    groups = [settings, *settings.kinds.values()]
    (group,) = [group for group in groups if hasattr(group, name.lower())]
    assert getattr(group, name.lower()) == value


@given(st.sampled_from(declared_settings()), st.text(max_size=12))
def test_any_text_is_read_or_refused_with_a_sentence(setting, text):
    try:
        read(**{setting.variable: text})
    except SettingError as exc:
        assert str(exc).startswith(f"{setting.variable} is ")


@pytest.mark.parametrize(
    ("environment", "path"),
    [
        ({"XDG_STATE_HOME": "/xdg", "HOME": "/home/me"}, "/xdg/jobrunner"),
        ({"XDG_STATE_HOME": "relative", "HOME": "/home/me"}, "/home/me/.local/state/jobrunner"),
        ({"HOME": "/home/me"}, "/home/me/.local/state/jobrunner"),
        ({"JOBRUNNER_STATE_DIR": "/there", "XDG_STATE_HOME": "/xdg"}, "/there"),
    ],
)
def test_the_state_directory_is_where_the_environment_says(environment, path):
    assert str(read_settings(environment).state_dir) == path


def test_settings_that_became_constants_are_unknown():
    gone = [f"JOBRUNNER_MAX_{what}" for what in ("COMMANDS", "LABELS", "NESTING", "TEXT")]
    assert [unknown.variable for unknown in read(**dict.fromkeys(gone, "1")).unknown] == gone


def test_a_kind_brings_its_own_settings_and_variables():
    settings = read(JOBRUNNER_DOCKER_IMAGES="a b", DOCKER_HOST="unix:///d", NO_PROXY="x", SECRET="")
    assert settings.of(DockerSettings).docker_images == ("a", "b")
    assert settings.program_environment == {"NO_PROXY": "x"}
    of_docker = settings.environment_for(DockerSettings)
    assert of_docker == {**settings.service_environment, "DOCKER_HOST": "unix:///d"}
    without = Settings.from_environment({**BASE, "DOCKER_HOST": "unix:///d"})
    assert without.program_environment == {}
    assert set(declared(DockerSettings)).isdisjoint(declared(Settings))


def test_jobs_begin_with_what_is_common_and_nothing_of_the_services():
    given = {"PATH": "/bin", "HOME": "/root", "USER": "me", "LANG": "C", "TZ": "UTC"}
    settings = read(**given, SECRET="x", AWS_TOKEN="y", JOBRUNNER_PORT="1")
    assert settings.base_environment == given


def test_jobs_have_the_locale_of_the_service_and_not_that_of_python():
    given = {"PATH": "/bin", "LC_ALL": "de_DE.UTF-8", "LC_TIME": "C", "LC_CTYPE": "C.UTF-8"}
    assert read(**given).base_environment == given
    assert read(PATH="/bin", LC_CTYPE="C.UTF-8").base_environment == {"PATH": "/bin"}
    set_by_hand = {"PATH": "/bin", "LC_CTYPE": "de_DE"}
    assert read(**set_by_hand).base_environment == set_by_hand


def test_variables_for_all_jobs_come_from_a_file(tmp_path):
    file = tmp_path / "variables"
    file.write_text("A=1\nPATH=/opt\nLC_ALL=C\n")
    settings = read(PATH="/bin", JOBRUNNER_JOB_ENVIRONMENT=str(file))
    assert settings.command_environment == {"A": "1", "PATH": "/opt", "LC_ALL": "C"}
    assert settings.container_environment == {"A": "1"}
    assert settings.job_user_environment == {"PATH": "/bin"}
    assert settings.base_environment["PATH"] == "/bin"
    assert "/opt" not in repr(settings)


def test_a_worker_has_the_variables_that_the_main_process_read(tmp_path, monkeypatch):
    file = tmp_path / "variables"
    file.write_text('A="1\n2"')
    for name, value in {**BASE, "JOBRUNNER_JOB_ENVIRONMENT": str(file)}.items():
        monkeypatch.setenv(name, value)
    first = read_settings()
    first.hand_on()
    file.unlink()
    assert read_settings() == first
    assert first.command_environment["A"] == "1\n2"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("A=1\nB", "line 2: expected NAME=value, got no '='"),
        ("JOBRUNNER_COMMAND=1", "line 1: JOBRUNNER_COMMAND is set by the service"),
        (None, "No such file or directory"),
    ],
)
def test_what_is_wrong_with_a_file_of_variables_is_told(tmp_path, content, words):
    file = tmp_path / "variables"
    if content is not None:
        file.write_text(content)
    assert words in refusal("JOB_ENVIRONMENT", str(file))


def test_jobs_have_a_path_even_when_the_service_has_none():
    assert "/usr/bin" in read().base_environment["PATH"].split(":")


def test_variables_that_are_no_settings_are_told_but_for_those_of_a_job():
    settings = read(JOBRUNNER_PROT="80", JOBRUNNER_JOB_ID="x", JOBRUNNER_COMMAND="0", OTHER="")
    assert [unknown.variable for unknown in settings.unknown] == ["JOBRUNNER_PROT"]


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        ("JOBRUNNER_PROT", "JOBRUNNER_PORT"),
        ("JOBRUNNER_port", "JOBRUNNER_PORT"),
        ("jobrunner_run_as", "JOBRUNNER_RUN_AS"),
        ("JOBRUNNER_ALLOWED_HOST", "JOBRUNNER_ALLOWED_HOSTS"),
        ("JOBRUNNER_HOST", "JOBRUNNER_HOSTNAME"),
        ("JOBRUNNER_MAX_PARALLEL_RUNNING", "JOBRUNNER_MAX_RUNNING"),
        ("JOBRUNNER_DOCKER_IMAGE", "JOBRUNNER_DOCKER_IMAGES"),
        ("JOBRUNNER_XYZZY", None),
    ],
)
def test_a_variable_that_is_no_setting_is_told_with_the_nearest_one(variable, nearest):
    (unknown,) = read(**{variable: "1"}).unknown
    assert (unknown.variable, unknown.nearest) == (variable, nearest)
    told = f"{variable} is no setting, and is ignored"
    assert str(unknown) == (f"{told}; the nearest one is {nearest}." if nearest else f"{told}.")


def test_each_setting_says_what_it_expects_and_what_it_means():
    assert len({setting.name for setting in declared_settings()}) == len(declared_settings())
    for setting in declared_settings():
        assert setting.expected
        assert setting.meaning
        assert setting.variable == PREFIX + setting.name
