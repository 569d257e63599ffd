"""`jobrunner login` and `context`: a token is stored once the service has accepted it, and goes nowhere else."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pexpect
import pytest
import trustme
from command_line import CommandLine
from running import Service, free_port

from service.access import tokens
from service.access.scopes import Scope

pytestmark = [pytest.mark.e2e, pytest.mark.once]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A service with TLS and a token."""
    home = tmp_path_factory.mktemp("guarded")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(home / "ca.pem")
    own = authority.issue_cert("localhost")
    own.private_key_pem.write_to_path(home / "key.pem")
    own.cert_chain_pems[0].write_to_path(home / "cert.pem")
    (home / "state").mkdir()
    _, token = tokens.create(home / "state", "ann", [Scope.RUN])
    port = free_port()
    flags = ["--cert", str(home / "cert.pem"), "--key", str(home / "key.pem")]
    service = Service(home / "state", *flags, port=port)
    try:
        service.wait_for_line("worker_ready")
        yield SimpleNamespace(
            url=f"https://localhost:{port}", token=token, ca=str(home / "ca.pem"), service=service
        )
    finally:
        service.close()


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    """Of somebody who has logged in nowhere yet."""
    made = CommandLine("", XDG_CONFIG_HOME=str(tmp_path / "config"))
    del made.environment["JOBRUNNER_URL"]
    return made


def stored(cli: CommandLine) -> Path:
    return Path(cli.environment["XDG_CONFIG_HOME"], "jobrunner", "contexts.json")


def login(cli: CommandLine, guarded: SimpleNamespace, *options: str, **how) -> None:
    given = f"{guarded.token}\n".encode()
    cli("login", guarded.url, "--ca", guarded.ca, *options, **{"given": given} | how)


def test_after_a_login_every_command_speaks_to_that_service(
    cli: CommandLine, guarded: SimpleNamespace
):
    login(cli, guarded)
    assert stat.S_IMODE(stored(cli).stat().st_mode) == 0o600
    assert cli("run", "echo hello").stdout == b"hello\n"
    assert cli("run", "--context", f"localhost-{guarded.url[-5:]}", "exit 3", status=3)
    assert cli("--context", f"localhost-{guarded.url[-5:]}", "run", "exit 4", status=4)
    assert guarded.token.encode() not in b"".join(
        cli("context", *words).stdout for words in (["ls"], ["ls", "-o", "json"], ["show"])
    )


def test_a_token_is_typed_without_an_echo(cli: CommandLine, guarded: SimpleNamespace):
    with cli.at_terminal("login", "--name", "typed", "--ca", guarded.ca, guarded.url) as terminal:
        terminal.expect("Token: ")
        terminal.sendline(guarded.token)
        terminal.expect(pexpect.EOF)
        assert guarded.token.encode() not in terminal.before
        assert b"The context typed is " in terminal.before
        terminal.wait()
        assert terminal.exitstatus == 0


def test_ctrl_c_at_the_prompt_stores_nothing(cli: CommandLine, guarded: SimpleNamespace):
    with cli.at_terminal("login", "--ca", guarded.ca, guarded.url) as terminal:
        terminal.expect("Token: ")
        terminal.sendintr()
        terminal.expect(pexpect.EOF)
        terminal.wait()
        assert terminal.exitstatus == 130
    assert not stored(cli).exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (b"wrong\n", rb"jobrunner: https://localhost:\d+ refuses the token: .*\n"),
        (b"", rb"jobrunner: Expected a token, got nothing\.\n"),
        (b"two words\n", rb"jobrunner: Expected a token, which is one word, got several\.\n"),
        (b"a\nb\n", rb"jobrunner: Expected a token, got something else\.\n"),
        (b"\xff\n", rb"jobrunner: Expected a token, got something else\.\n"),
        (b"x" * 10_000, rb"jobrunner: Expected a token, got something else\.\n"),
    ],
)
def test_a_token_that_is_none_or_is_refused_is_not_stored(
    cli: CommandLine, guarded: SimpleNamespace, given: bytes, said: bytes
):
    done = cli("login", "--ca", guarded.ca, guarded.url, given=given, status=125)
    assert re.fullmatch(said, done.stderr)
    assert done.stdout == b""
    assert not stored(cli).exists()


def test_a_certificate_of_an_unknown_authority_is_told(cli: CommandLine, guarded: SimpleNamespace):
    done = cli("login", guarded.url, given=guarded.token.encode(), status=125)
    assert re.fullmatch(
        rb"jobrunner: The certificate of .* can't be verified .*--ca .*\n", done.stderr
    )
    assert not stored(cli).exists()


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (
            ("http://127.0.0.1:1",),
            125,
            rb"jobrunner: No service answers at http://127.0.0.1:1 .*\n",
        ),
        (("ftp://x",), 2, rb"jobrunner: Expected an URL such as .*\n"),
        ((), 2, rb"jobrunner: Missing argument 'URL'.*\n"),
        (("http://x", "--ca", "/none"), 2, rb"jobrunner: .*'/none' does not exist.*\n"),
        (
            ("http://x", "--ca", "/etc/hostname"),
            2,
            rb"jobrunner: Expected a certificate in PEM.*\n",
        ),
        (("http://x", "--name", "a b"), 125, rb"jobrunner: Expected a name .*'a b'.*\n"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(cli: CommandLine, arguments, status, said):
    assert re.fullmatch(said, cli("login", *arguments, status=status).stderr)
    assert not stored(cli).exists()


def test_a_service_without_tokens_is_asked_for_none_and_gets_none(
    cli: CommandLine, service: Service
):
    done = cli("login", "--name", "open", service.url, given=b"a-secret\n")
    assert b"without a token" in done.stdout
    assert b"a-secret" not in stored(cli).read_bytes()
    assert cli("run", "echo hello").stdout == b"hello\n"


def test_another_answer_than_a_services_is_no_login(cli: CommandLine, service: Service):
    done = cli("login", f"{service.url}/no/such/prefix", status=125)
    assert done.stderr.count(b"\n") == 1
    assert not stored(cli).exists()


def test_contexts_are_listed_chosen_and_forgotten(
    cli: CommandLine, guarded: SimpleNamespace, service: Service
):
    cli("login", "--name", "open", service.url)
    login(cli, guarded, "--name", "lab")
    table = cli("context", "ls").stdout.decode().splitlines()
    assert [line.split()[:2] for line in table] == [
        ["NAME", "URL"],
        ["*", "lab"],
        ["open", service.url],
    ]
    assert cli("context", "ls", "-q").stdout == b"lab\nopen\n"
    assert [row["Current"] for row in json.loads(cli("context", "ls", "-o", "json").stdout)] == [
        True,
        False,
    ]
    cli("context", "use", "open")
    assert cli("context", "show", "-o", "name").stdout == b"open\n"
    done = cli("context", "use", "none", status=125)
    assert done.stderr == b"jobrunner: There is no context 'none'; known: lab, open.\n"
    cli("context", "rm", "open", "lab")
    assert guarded.token.encode() not in stored(cli).read_bytes()
    assert cli("context", "show").stdout == b"http://127.0.0.1:8080 (the default)\n"


def test_the_environment_wins_and_is_named(
    cli: CommandLine, guarded: SimpleNamespace, service: Service
):
    cli.environment["JOBRUNNER_URL"] = service.url
    given = f"{guarded.token}\n".encode()
    done = cli("login", "--name", "lab", "--ca", guarded.ca, guarded.url, given=given)
    assert done.stderr == b"jobrunner: JOBRUNNER_URL is set here, and wins over it.\n"
    shown = cli("context", "show").stdout.decode()
    assert shown == f"{service.url} (JOBRUNNER_URL)\n"


def test_another_service_of_the_same_name_replaces_none(
    cli: CommandLine, guarded: SimpleNamespace, service: Service
):
    login(cli, guarded, "--name", "127.0.0.1-" + service.url.rpartition(":")[2])
    done = cli("login", service.url, status=125)
    assert b"another name by --name" in done.stderr
    cli("login", service.url, "--name", "open")
    cli("login", service.url, "--name", "open")
    assert len(json.loads(stored(cli).read_bytes())["contexts"]) == 2


def test_a_token_that_is_no_longer_good_leads_to_the_next_login(
    cli: CommandLine, guarded: SimpleNamespace
):
    login(cli, guarded)
    path = stored(cli)
    path.write_text(path.read_text().replace(guarded.token, "revoked"))
    said = cli("run", "true", status=125).stderr
    assert said.endswith(b" `jobrunner login URL` stores one.\n")
    assert b"revoked" not in said
