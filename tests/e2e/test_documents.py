"""What the documents say happens: their commands run as they stand, and what is generated is fresh."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import documents
import pytest
import trustme
from running import Service, free_port, running
from watching import Watched

pytestmark = [pytest.mark.e2e, pytest.mark.once]

ROOT = documents.ROOT
README = (ROOT / "README.md").read_text()
HOWTO = (ROOT / "deploy" / "HOWTO.md").read_text()
PROGRAMS = Path(sys.executable).parent


def blocks(text: str, language: str = "sh") -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def recipe(title: str) -> str:
    """One section of the recipes."""
    _, _, section = HOWTO.partition(f"\n## {title}\n")
    assert section, title
    return section.partition("\n## ")[0]


def ran(commands: str, directory: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Bash's own result: what stands in a document must not rely on anything else."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}  # noqa: TID251 - a person's shell has them
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=directory,
        env=inherited | environment,
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A directory that looks like the checkout which the recipes are run in."""
    checkout = tmp_path / "checkout"
    (checkout / ".venv").mkdir(parents=True)
    (checkout / ".venv" / "bin").symlink_to(PROGRAMS)
    (checkout / "deploy").symlink_to(ROOT / "deploy")
    return checkout


def test_the_tour_runs_from_top_to_bottom(service: Service, tmp_path: Path) -> None:
    _, _, tour = README.partition("<!-- tour -->")
    commands = "\n".join(blocks(tour.partition("<!-- tour end -->")[0], ""))
    assert commands.index("jobrunner run") < commands.index("curl")
    path = f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}"  # noqa: TID251 - a person's shell has it
    home = {"PATH": path, "JOBRUNNER_URL": service.url, "XDG_CONFIG_HOME": str(tmp_path)}
    shown = ran(commands.replace("localhost:8080", service.url), tmp_path, **home)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("testing\n1 test failed\nstatus 3\n")
    assert shown.stdout.count("made here\ndone\n") == 2
    assert "all seen gone" in shown.stdout
    answers = [json.loads(line) for line in shown.stdout.splitlines() if line.startswith("{")]
    assert all("status" not in answer for answer in answers), answers
    states = [answer["State"] for answer in answers if "State" in answer]
    assert states == ["exited"] * 4
    (one_call,) = (answer for answer in answers if "Excerpt" in answer)
    assert (one_call["ExitCode"], one_call["Excerpt"]["Text"]) == (3, "testing\n1 test failed\n")


def test_a_ci_job_shows_the_output_and_exits_as_the_job_did(
    service: Service, tmp_path: Path
) -> None:
    commands = "\n".join(blocks(recipe("Run a job in a CI job")))
    shown = ran(commands.replace("localhost:8080", service.url), tmp_path, BUILD_ID="7")
    assert (shown.returncode, shown.stderr) == (3, "")
    assert shown.stdout == "testing\n1 test failed\n" == (tmp_path / "build.log").read_text()
    repeated = ran(commands.replace("localhost:8080", service.url), tmp_path, BUILD_ID="7")
    assert (repeated.returncode, repeated.stdout) == (3, shown.stdout)
    assert len(service.client.get("/?state=all&name=build").json()["IDs"]) == 1


def test_the_output_is_saved_whole_by_retries_and_not_by_ranges(
    service: Service, tmp_path: Path
) -> None:
    submit, save, check = blocks(recipe("Save the whole output"))
    commands = f"{submit}{save}{check}test $(wc -l < out.log) = 100000\ntruncate -s 1000 out.log\n"
    commands += save.replace(" -o ", " -C - -o ").replace("--retry 9 --retry-all-errors", "")
    shown = ran(commands.replace("localhost:8080", service.url), tmp_path)
    assert (shown.returncode, shown.stdout) == (33, ""), shown.stderr


@pytest.mark.parametrize(("option", "tries"), [("-o out", 1), ("> out", 2)])
def test_a_retry_of_curl_begins_again_and_only_its_own_file_is_emptied(
    option: str, tries: int, tmp_path: Path
) -> None:
    whole = b"0123456789" * 3
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for sent in (whole[:10], whole):  # cut, then whole
                peer, _ = listener.accept()
                with peer:
                    peer.recv(1 << 16)
                    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n" + sent)

        server = threading.Thread(target=serve)
        server.start()
        save = blocks(recipe("Save the whole output"))[1]
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        line = save.replace("localhost:8080/$ID/attach", url).replace(
            "-o out.log", "--retry-delay 1"
        )
        shown = ran(f"{line.rstrip()} {option}", tmp_path)
        server.join()
    assert shown.returncode == 0, shown.stderr
    assert (tmp_path / "out").read_bytes() == whole[:10] * (tries - 1) + whole


@pytest.mark.parametrize("resume", [0, 1])
def test_a_download_goes_on_where_it_stopped_and_ends_whole(
    service: Service, tmp_path: Path, resume: int
) -> None:
    submit, *resumes = blocks(recipe("Download the output while it grows"))
    assert len(resumes) == 2
    commands = f"{submit}{resumes[resume]}{resumes[resume]}seq 100000 | cmp - out.log\n"
    shown = ran(commands.replace("localhost:8080", service.url), tmp_path)
    assert (shown.returncode, shown.stdout, shown.stderr) == (0, "", "")


def test_parts_of_a_long_output_are_selected_and_searched(service: Service, tmp_path: Path) -> None:
    commands = [
        block.replace("localhost:8080", service.url)
        for block in blocks(recipe("Look into a long output"))
    ]
    submit, parts, searches, live = commands
    shown = [ran(submit + part, tmp_path) for part in (parts, searches, live)]
    assert [each.returncode for each in shown] == [0, 0, 0], shown
    part, found, tail = (each.stdout.splitlines() for each in shown)
    error = "ERROR: no space"
    assert part[:4] == ["step 999", "step 1000", error, error]
    assert (part[4], part[-1]) == ("step 1", error)
    assert any(line.startswith("[jobrunner: bytes ") for line in part)
    assert found[:3] == ["step 999", "step 1000", error]
    assert [json.loads(line).get("Text") for line in found[3:]] == ["step 7", "step 17", None]
    assert json.loads(found[-1]) == {"Type": "matches", "Count": 100}
    assert len(tail) == 10


def test_an_agent_gets_the_exit_code_and_the_end_of_the_log(
    service: Service, tmp_path: Path
) -> None:
    commands = "\n".join(blocks(recipe("Use it from an agent or a script")))
    shown = ran(commands.replace("localhost:8080", service.url), tmp_path)
    assert shown.returncode == 0, shown.stderr
    job, *output, killed = shown.stdout.splitlines()
    view = json.loads(job)
    assert (view["State"], view["ExitCode"]) == ("exited", 0)
    assert view["Excerpt"]["Text"].endswith("\n100000\ndone\n")
    assert output[-2:] == ["100000", "done"]
    assert len("\n".join(output)) == 1999
    assert json.loads(killed)["State"] == "exited"


def test_a_job_is_given_files_and_those_it_makes_are_fetched(
    service: Service, tmp_path: Path
) -> None:
    (commands,) = blocks(recipe("Give a job files, and fetch those that it makes"))
    shown = ran(commands.replace("localhost:8080", service.url), tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout == "100000\n99999\n99998\ntop.txt\n"


def test_a_job_is_sent_a_signal(service: Service, tmp_path: Path) -> None:
    (commands,) = blocks(recipe("Send a job a signal"))
    shown = ran(commands.replace("localhost:8080", service.url), tmp_path)
    assert (shown.returncode, shown.stderr) == (0, "")
    ready, sent, anew, killed = shown.stdout.splitlines()
    assert (ready, json.loads(sent)["Signal"], anew) == ("ready", "SIGHUP", "read anew")
    assert json.loads(killed)["State"] == "killed"


def test_output_is_read_as_records(service: Service, tmp_path: Path) -> None:
    job_id = service.submit("echo out; echo first >&2; echo second >&2; exit 3")
    service.wait(job_id)
    lines, check = (
        ran(commands.replace("localhost:8080", service.url), tmp_path, ID=job_id)
        for commands in blocks(recipe("Read output as records"))
    )
    assert [line.split()[1] for line in lines.stdout.splitlines()] == ["first", "second"]
    assert (check.returncode, check.stdout) == (3, "output: OK\n")


def test_another_system_is_told_of_each_end_once(service: Service, tmp_path: Path) -> None:
    (command,) = blocks(recipe("Tell another system how jobs ended"))
    command = command.replace("localhost:8080", service.url)
    assert ran(command, tmp_path).returncode == 0  # what others have left here
    ended = [service.run("exit 3")["ID"], service.run("true")["ID"]]
    told = ran(command, tmp_path)
    assert told.stdout.splitlines() == [f"{ended[0]} exited 3", f"{ended[1]} exited 0"]
    assert ran(command, tmp_path).stdout == ""


def test_the_lines_of_many_jobs_are_shown_with_their_jobs(service: Service, tmp_path: Path) -> None:
    labels = {"build": "1234"}
    jobs = [service.run({"CommandLine": f"echo {n}", "Labels": labels})["ID"] for n in "ab"]
    (command,) = blocks(recipe("Show the output of many jobs"))
    shown = ran(command.replace("localhost:8080", service.url), tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.splitlines() == [f"{jobs[0][:8]} a", f"{jobs[1][:8]} b"]


def test_a_second_start_by_cron_on_the_same_day_runs_nothing(
    service: Service, tmp_path: Path
) -> None:
    section = recipe("Run a job from cron")
    (line,) = blocks(section, "crontab")
    (job,) = blocks(section, "json")
    (tmp_path / "nightly.json").write_text(job)
    fields = line.split(maxsplit=5)
    assert [re.fullmatch(r"\d+|\*", field) is not None for field in fields[:5]] == [True] * 5
    assert not re.search(r"(?<!\\)%", fields[5]), "cron ends the command at the first bare %"
    command = fields[5].replace("\\%", "%").replace("/etc/jobrunner", str(tmp_path))
    (look,) = blocks(section)
    once, twice, shown = (
        ran(commands.replace("localhost:8080", service.url), tmp_path)
        for commands in (command, command, look)
    )
    assert once.returncode == twice.returncode == 0, once.stderr
    assert json.loads(once.stdout) == json.loads(twice.stdout)
    jobs = {job["ID"]: job["Name"] for job in json.loads(shown.stdout)["Jobs"]}
    assert jobs[json.loads(once.stdout)["ID"]] == "nightly"


@pytest.mark.skipif(
    shutil.which("nginx", path=f"{os.defpath}:/usr/sbin:/sbin") is None and "CI" not in os.environ,  # noqa: TID251 - which must run it
    reason="nginx isn't installed",
)
def test_nginx_with_tls_is_set_up_as_the_recipe_says(checkout: Path, tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("build.example.org")
    certificates, sites, state_dir = (tmp_path / name for name in ("ssl", "sites", "jobrunner"))
    for directory in (certificates, sites):
        directory.mkdir()
    certificate.cert_chain_pems[0].write_to_path(certificates / "fullchain.pem")
    certificate.private_key_pem.write_to_path(certificates / "privkey.pem")
    authority.cert_pem.write_to_path(certificates / "authority.pem")
    create, install, serve, call = blocks(recipe("Run it behind nginx with TLS"))
    (tmp_path / "nginx.conf").write_text(
        f"worker_processes 1; pid {tmp_path}/pid; events {{}}\n"
        f"http {{ access_log off; include {sites}/*.conf;\n"
        + "".join(
            f"{name}_temp_path {tmp_path}/{name};\n"
            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        + "}\n"
    )
    ours = f"-c {tmp_path}/nginx.conf -e {tmp_path}/error.log"
    path = f"PATH={os.defpath}:/usr/sbin:/sbin\n"
    created = ran(f"{create} echo $TOKEN", checkout, JOBRUNNER_STATE_DIR=str(state_dir))
    assert created.returncode == 0, created.stderr
    names = dict(re.findall(r"(\w+)=(\S+)", serve))
    with running(state_dir, environment=names) as service:
        port = free_port()
        site = install.replace("/etc/ssl/build", str(certificates))
        for old, new in (
            ("/etc/nginx/conf.d", str(sites)),
            # The service and nginx of a test have ports and files of their own.
            ("nginx -t && nginx -s reload", f"nginx {ours} -t -q && nginx {ours}"),
        ):
            assert old in site
            site = site.replace(old, new)
        installed = ran(
            f"{path}{site}\n".replace(
                "deploy/nginx.conf >",
                f"-e s/127.0.0.1:8080/127.0.0.1:{service.port}/"
                f" -e 's/listen 443/listen 127.0.0.1:{port}/' deploy/nginx.conf >",
            ),
            checkout,
        )
        assert installed.returncode == 0, installed.stderr
        where = f"--cacert {certificates}/authority.pem --connect-to ::127.0.0.1:{port}"
        with Watched([int((tmp_path / "pid").read_text())]) as master:
            try:
                called, closed = (
                    ran(call.replace("curl ", f"curl {where} "), checkout, TOKEN=token)
                    for token in (created.stdout.strip(), "wrong")
                )
                assert (called.returncode, called.stderr) == (0, "")
                assert json.loads(called.stdout)["IDs"] == []
                assert closed.returncode == 22
            finally:
                master.signal(signal.SIGTERM)
                master.wait_gone()


def test_a_backup_of_a_running_service_is_served_again(
    service: Service, checkout: Path, tmp_path: Path
) -> None:
    save, restore = blocks(recipe("Back up the state"))
    job = "seq 100000; echo done > made; exit 4"
    key = {"Idempotency-Key": "of-the-backup"}
    job_id = service.submit(job, **key)
    assert service.wait(job_id)["ExitCode"] == 4
    expected = service.client.get(f"/{job_id}/attach").content
    saved = ran(save, checkout, JOBRUNNER_STATE_DIR=str(service.state_dir))
    assert saved.returncode == 0, saved.stderr
    restored = ran(restore, checkout)
    assert restored.returncode == 0, restored.stdout + restored.stderr
    with running(checkout / "restored") as again:
        assert again.show(job_id)["ExitCode"] == 4
        assert again.submit(job, **key) == job_id
        assert again.client.get(f"/{job_id}/attach").content == expected
    assert (checkout / "restored" / "jobs" / job_id / "work" / "made").read_text() == "done\n"


def test_a_command_finds_what_the_page_says(service: Service) -> None:
    """The table of `service/kinds/README.md`, but for the rows that other tests are about."""

    def said(*lines: str, **environment: str) -> str:
        commands = [{"CommandLine": line} for line in lines]
        job_id = service.submit({"Commands": commands, "Environment": environment})
        assert service.wait(job_id)["ExitCode"] == 0
        return service.output(job_id).decode()

    assert said("false; false | true; echo $?; shopt login_shell; true") == (
        "0\nlogin_shell    \toff\n"
    )
    assert said("read x; echo $?; tty; printenv TERM; true") == ("1\nnot a tty\n")
    assert said("X=1; cd /; umask 0", "echo $X; umask") == "\n0022\n"
    assert said("echo kept > file", "cat file") == "kept\n"
    assert said("echo 'X=7' > rc", "echo $X", BASH_ENV="rc") == "7\n"
    assert said("exec 2>&1; for i in 1 2 3; do echo $i; echo $i >&2; done") == (
        "1\n1\n2\n2\n3\n3\n"
    )


def test_each_json_example_is_a_valid_job(service: Service) -> None:
    examples = [
        example
        for page in documents.pages()
        if page.parent.name != "mcp"  # its example is of another program's configuration
        for example in blocks(page.read_text(), "json")
    ]
    assert len(examples) > 4
    for example in examples:
        answer = service.client.post("/", json=json.loads(example))
        assert answer.status_code == 201, answer.text
        service.kill(answer.json()["ID"], grace=0, wait=True)


def test_the_series_of_the_table_are_those_there_are(service: Service) -> None:
    table = (ROOT / "deploy" / "OPERATIONS.md").read_text()
    written = set(re.findall(r"^\| `(jobrunner_\w+)`", table, re.MULTILINE))
    text = service.client.get("/metrics").text
    assert written == set(re.findall(r"^# TYPE (\w+)", text, re.MULTILINE))
