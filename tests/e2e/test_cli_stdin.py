"""`jobrunner send` and `run -i`: what comes in here reaches the job once, and its end after it."""

from __future__ import annotations

import hashlib
import os
import random
import re
import subprocess
from pathlib import Path

import pytest
from command_line import CommandLine
from gates import Gate, lines
from running import Service

pytestmark = pytest.mark.e2e
WORKERS = 2

CONTENT = random.Random(5).randbytes(3 << 20)
DIGEST = hashlib.sha256(CONTENT).hexdigest().encode()


@pytest.fixture
def cli(service: Service) -> CommandLine:
    return CommandLine(service.url)


def detached(cli: CommandLine, *words: str) -> str:
    return cli("run", "-d", "-i", "--", *words).stdout.decode().strip()


def test_what_comes_in_reaches_the_job_and_so_does_its_end(cli: CommandLine):
    assert cli("run", "-i", "--", "sha256sum", given=CONTENT).stdout.split()[0] == DIGEST


def test_a_pipe_and_a_file_and_nothing_may_come_in(cli: CommandLine, tmp_path: Path):
    path = tmp_path / "content"
    path.write_bytes(CONTENT)
    with open(path, "rb") as file:
        done = subprocess.run(
            [*cli.command, "run", "-i", "--", "sha256sum"],
            stdin=file,
            capture_output=True,
            env=cli.environment,
            check=True,
        )
    assert done.stdout.split()[0] == DIGEST
    assert cli("run", "-i", "--", "wc", "-c", given=b"").stdout == b"0\n"
    assert cli("run", "--", "wc", "-c", given=b"not passed on").stdout == b"0\n"


def test_each_piece_comes_out_before_the_next_one_comes_in(cli: CommandLine):
    with cli.started("run", "-i", "--", "cat", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for piece in (b"one\n", b"two\n"):
            os.write(process.stdin.fileno(), piece)
            assert os.read(process.stdout.fileno(), 100) == piece
        process.stdin.close()
        process.stdin = None
        assert process.wait(300) == 0


def test_a_job_that_reads_no_more_is_no_error_of_the_command(cli: CommandLine):
    with cli.started("run", "-i", "--", "head", "-c", "3", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        os.write(process.stdin.fileno(), b"abcdef")
        out, err = process.communicate()  # the job's end ends it, whatever could come in
        assert (out, err, process.returncode) == (b"abc", b"", 0)


def test_a_client_that_died_goes_on_where_the_job_has_come_to(cli: CommandLine, gate: Gate):
    """The same input again, with the same key: what the job has taken isn't sent twice."""
    command = ("run", "-i", "--key", f"key-{os.getpid()}", "--")
    line = f"head -c 100000 | sha256sum; read -r _ < {gate}; cat | sha256sum"
    with cli.started(*command, line, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(CONTENT[:100_000])
        process.stdin.flush()
        assert (
            os.read(process.stdout.fileno(), 64)
            == hashlib.sha256(CONTENT[:100_000]).hexdigest().encode()
        )
        process.kill()
    gate.open()
    first, second = cli(*command, line, given=CONTENT).stdout.splitlines()
    assert first.split()[0].decode() == hashlib.sha256(CONTENT[:100_000]).hexdigest()
    assert second.split()[0].decode() == hashlib.sha256(CONTENT[100_000:]).hexdigest()


def test_lines_are_sent_and_the_end(cli: CommandLine, service: Service):
    job_id = detached(cli, "cat")
    cli("send", job_id, "one")
    cli("send", "-n", job_id, "tw")
    cli("send", job_id, "o")
    cli("send", job_id, "-", given=b"\xff\x00raw\n")
    cli("send", job_id, "")
    assert cli("send", "--eof", job_id).stdout == b""
    service.wait(job_id)
    assert service.output(job_id) == b"one\ntwo\n\xff\x00raw\n\n"


def test_a_stream_is_sent_with_its_end(cli: CommandLine, service: Service):
    job_id = detached(cli, "sha256sum")
    cli("send", "--eof", job_id, "-", given=CONTENT)
    service.wait(job_id)
    assert service.output(job_id).split()[0] == DIGEST


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("send", "JOB"), 2, rb"jobrunner: Expected a TEXT, '-' or --eof\.(.|\n)*"),
        (("send", "no-such-job", "x"), 125, rb"jobrunner: No job has the ID, .*\n"),
        (("send", "JOB", "x"), 125, rb"jobrunner: The job .* has no standard input: .*\n"),
        (("run", "-i", "-f", "-"), 2, rb"jobrunner: Standard input can't be both (.|\n)*"),
    ],
)
def test_what_can_not_be_sent_is_told(
    cli: CommandLine, service: Service, arguments: tuple[str, ...], status: int, said: bytes
):
    job_id = service.submit("sleep 600")
    words = [job_id if word == "JOB" else word for word in arguments]
    assert re.fullmatch(said, cli(*words, status=status).stderr)
    service.kill(job_id, grace=0)


def test_a_closed_input_is_told_by_send(cli: CommandLine, service: Service):
    job_id = detached(cli, "exec 0<&-; echo closed; sleep 600")
    assert lines(service, job_id, 1) == ["closed"]
    assert re.fullmatch(
        rb"jobrunner: The standard input of the job .* is closed.*\n",
        cli("send", job_id, "x", status=125).stderr,
    )
    service.kill(job_id, grace=0)
