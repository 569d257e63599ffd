"""Random names and values in every field of a submission, with canaries that must never sing.

A canary is a file that a hostile name or value leads to: a program, a library, a configuration. The
kernel tells who opens one; only the user that jobs run as ever may. Each value holds a word of its
own, which is looked for in the logs, in the environment and in the arguments of Docker's client.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from dockerd import IMAGE, Dockerd, daemon_or_skip
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from running import Service, running
from watch_opens import CannotWatch, Opened, watched

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.docker,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root runs jobs as another user"),
]

USER = "nobody"
NOBODY = pwd.getpwnam(USER)
EXAMPLES = 40
# Programs that something of ours might look for by name.
PROGRAMS = ("docker", "docker-credential-x", "bash", "sh", "python3", "env", "bwrap", "true", "ls")
# Variables by which a program is led to code or to files, in the families that there are.
LEADING = (
    *("PATH", "BASH_ENV", "ENV", "SHELLOPTS", "PS4", "BASH_FUNC_docker%%", "PROMPT_COMMAND"),
    *("LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "GCONV_PATH", "LOCPATH", "NLSPATH"),
    *("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONPYCACHEPREFIX", "PYTHONINSPECT"),
    *("DOCKER_CONFIG", "DOCKER_HOST", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY", "DOCKER_CONTEXT"),
    *("HTTP_PROXY", "SSL_CERT_FILE", "GODEBUG", "XDG_CONFIG_HOME", "HOME", "TMPDIR", "HOSTALIASES"),
    *("JOBRUNNER_DOCKER", "JOBRUNNER_STATE_DIR", "TZ", "LANG", "LC_ALL", "TERMINFO", "IFS"),
)
# Stands where Docker's client is looked for, and writes down how it was called.
RECORDER = """#!{python} -IS
import os, sys
environment = [f"{{k}}={{v}}" for k, v in os.environ.items()]
text = "\\0".join([*sys.argv[1:], "", *environment])
descriptor = os.open({calls!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
os.write(descriptor, os.fsencode(text) + b"\\0\\n")
os.close(descriptor)
os.execv({docker!r}, ["docker", *sys.argv[1:]])
"""


@dataclass(frozen=True, slots=True)
class Cage:
    """A service among canaries."""

    service: Service
    canaries: Path
    calls: Path
    opened: list[Opened]


@pytest.fixture(scope="module")
def dockerd() -> Iterator[Dockerd]:
    with daemon_or_skip() as dockerd:
        yield dockerd


@pytest.fixture(scope="module")
def cage(tmp_path_factory: pytest.TempPathFactory, dockerd: Dockerd) -> Iterator[Cage]:
    place = tmp_path_factory.mktemp("canary")
    for directory in (place, *place.parents):
        if directory.stat().st_uid == os.geteuid() and directory != Path("/"):
            directory.chmod(directory.stat().st_mode | 0o011)
    canaries = hatch(place / "canaries")
    calls, recorder = place / "calls", place / "client"
    docker = shutil.which("docker") or ""
    recorder.write_text(RECORDER.format(python=sys.executable, calls=str(calls), docker=docker))
    recorder.chmod(0o755)
    environment = {
        **dockerd.environment,
        "JOBRUNNER_RUN_AS": USER,
        "JOBRUNNER_DOCKER": str(recorder),
        "JOBRUNNER_DOCKER_VOLUMES": str(place / "allowed"),
    }
    (place / "allowed").mkdir()
    directories = [canaries, *(path for path in canaries.rglob("*") if path.is_dir())]
    try:
        with watched(*directories) as opened:
            with running(place / "state", environment=environment) as service:
                yield Cage(service, canaries, calls, opened)
    except CannotWatch as exc:
        pytest.skip(f"opens can't be watched here: {exc}")


def hatch(directory: Path) -> Path:
    """Programs, and files of all kinds that are looked for by the variables above."""
    directory.mkdir()
    for name in (*PROGRAMS, "canary"):
        (directory / name).write_text("#!/bin/sh\nexit 0\n")
        (directory / name).chmod(0o755)
    (directory / "canary.so").write_bytes(b"\x7fELF")
    (directory / "gconv-modules").write_text("module UTF-8// INTERNAL canary 1\n")
    (directory / "config.json").write_text('{"credsStore": "x"}')
    (directory / "sitecustomize.py").write_text("raise SystemExit(99)\n")
    (directory / ".docker").mkdir()
    (directory / ".docker" / "config.json").write_text('{"credsStore": "x"}')
    return directory


def hostile(canaries: Path) -> st.SearchStrategy[str]:
    """Texts that lead to a canary where anybody expands, splits, looks up or believes them."""
    one = str(canaries / "canary")
    known = [
        *(one, str(canaries), f"{canaries}/canary.so", f"$({one})", f"`{one}`", f"; {one} ;"),
        *(
            f"\n{one}\n",
            f"| {one}",
            f"&& {one}",
            f"x=1 {one}",
            f"--config={canaries}",
            f"-v{one}:/x",
        ),
        *("--privileged", "--network=host", f"--env-file={one}", "-v/:/host", f"@{one}"),
        *(
            "../" * 12 + one[1:],
            f"file://{one}",
            f"{one}:/x",
            f"{canaries}:/x:rw",
            "/proc/self/root",
        ),
        *(f"() {{ :; }}; {one}", f"%s{one}", "$IFS", f"unix://{one}", f"tcp://127.0.0.1:1/{one}"),
        *(f"{one}\0", f"\u202e{one}", "host", "container:x", "", " ", "\r\nX: y", "\x1b[31m"),
    ]
    return st.one_of(st.sampled_from(known), st.text(max_size=12))


def submissions(canaries: Path) -> st.SearchStrategy[dict[str, Any]]:
    """Good ones, of which one to three places are hostile: else nearly all would end at the door."""
    text = hostile(canaries)
    ends = st.sampled_from(["", "\n", "\r", "\0", "\u2028"])  # of a line, to some reader or other
    values = st.builds("{1}{2}word-{0:032x}".format, st.integers(0, 2**128 - 1), text, ends)
    names = st.one_of(st.sampled_from(LEADING), st.from_regex(r"[A-Z]{1,8}", fullmatch=True), text)
    environment = st.dictionaries(names, st.one_of(values, values, text), min_size=1, max_size=2)
    of_all = {"Environment": environment, "WorkingDir": text}
    of_bash = {**of_all, "ContinueOnFailure": st.booleans()}
    of_docker = {
        **of_bash,
        "Image": text,
        "Tag": text,
        "CommandLine": text,
        "Arguments": st.lists(text, max_size=3),
        "Entrypoint": text,
        "Network": text,
        "Volumes": st.lists(text, min_size=1, max_size=2),
    }
    of_job = {**of_all, "Name": text, "Labels": st.dictionaries(text, text, max_size=2)}

    def place(kinds: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
        # Half of the time an environment: there is no end of names there.
        one = st.one_of(st.just("Environment"), st.sampled_from(list(kinds)))
        return one.flatmap(lambda name: st.fixed_dictionaries({name: kinds[name]}))

    def command(base: dict[str, Any], kinds: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
        return st.builds(lambda hostile: {**base, **hostile}, st.one_of(st.just({}), place(kinds)))

    commands = st.one_of(
        command({"CommandLine": "env | wc -l"}, of_bash),
        command({"Kind": "docker", "Image": IMAGE, "Arguments": ["env"]}, of_docker),
    )
    base = {"Timeout": 20, "Grace": 0}
    return st.builds(
        lambda commands, hostile: {**base, "Commands": commands, **hostile},
        st.lists(commands, min_size=1, max_size=2),
        st.one_of(st.just({}), place(of_job)),
    )


def words(body: object) -> Iterator[str]:
    """The words of their own in the values of environments."""
    if isinstance(body, dict):
        for key, value in body.items():
            if key == "Environment":
                yield from (v[-32:] for v in value.values() if "word-" in v)
            else:
                yield from words(value)
    elif isinstance(body, list):
        for item in body:
            yield from words(item)


def test_nothing_that_a_job_names_is_run_read_or_told_by_anybody_but_its_user(cage: Cage) -> None:
    accepted = 0

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],  # to make a failure smaller takes minutes of containers
        suppress_health_check=list(HealthCheck),
    )
    @given(submissions(cage.canaries))
    def attack(body: dict[str, Any]) -> None:
        nonlocal accepted
        begun = len(cage.opened), len(cage.service.lines)
        cage.calls.write_bytes(b"")
        answer = cage.service.client.post(
            "/",
            content=json.dumps(body),
            headers={"Content-Type": "application/json"},
        )
        assert answer.status_code in (201, 400, 422), answer.text
        if answer.status_code == 201:
            accepted += 1
            cage.service.wait(answer.json()["ID"])
        strangers = [o for o in cage.opened[begun[0] :] if o.uid != NOBODY.pw_uid]
        assert strangers == []
        outside = "\n".join(cage.service.lines[begun[1] :]) + told_to_docker(cage.calls)
        assert not [word for word in words(body) if word in outside]

    attack()
    for name in ("audit.log", "supervisor.log"):
        assert "word-" not in (cage.service.state_dir / name).read_text()
    assert accepted > EXAMPLES // 4


def test_a_search_path_of_the_jobs_own_is_not_told_to_docker(cage: Cage) -> None:
    """Also when its program isn't found: the name alone may be asked for."""
    cage.calls.write_bytes(b"")
    path = f"{cage.canaries}/word-of-its-own"
    command = {
        "Kind": "docker",
        "Image": IMAGE,
        "Arguments": ["env"],
        "Environment": {"PATH": path},
    }
    view = cage.service.run({"Commands": [command]})
    assert view["Commands"][0]["ExitCode"] == 127
    assert "env" in told_to_docker(cage.calls)
    assert "word-of-its-own" not in told_to_docker(cage.calls)


def told_to_docker(calls: Path) -> str:
    return calls.read_bytes().decode(errors="replace")


def test_a_canary_is_seen_when_it_is_opened(cage: Cage) -> None:
    """By the job's own user: that is its right. Else the search would prove nothing."""
    before = len(cage.opened)
    assert cage.service.run(f"cat {cage.canaries}/canary")["ExitCode"] == 0
    assert NOBODY.pw_uid in {opened.uid for opened in cage.opened[before:]}
