"""Behind real proxies with the sites of deploy/: streams stay live and whole, a cut is seen, ends stay honest.

TLS and HTTP/2 in front of all of them. One service for the module, which runs under a prefix as well; a kill of its
workers is followed by a wait for new ones.
"""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import re
import signal
import socket
import ssl
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import documents
import httpx
import pytest
from answers import assert_problem
from gates import Gate
from proxies import DEPLOY, NAME, PROXIES, Site, program, proxied
from running import Service, running
from waiting import until
from watching import Watched
from websocket_clients import V5, closed, exit_code, output
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from service.access import tokens
from service.access.scopes import Scope
from service.kinds.settings import declared_settings

IS_CI = "CI" in os.environ  # noqa: TID251 - which must run them
pytestmark = [pytest.mark.e2e, pytest.mark.slow]
# Whom nginx runs its workers as.
IS_ROOT = os.geteuid() == 0
NOBODY = pwd.getpwnam("nobody")

PREFIX = "/jobs"
MEGABYTES = 20
HOWTO = (documents.ROOT / "deploy" / "HOWTO.md").read_text()
_, _, RECIPE = HOWTO.partition("\n## Save the whole output\n")
SUBMIT, SAVE, CHECK = re.findall(r"```sh\n(.*?)```", RECIPE.partition("\n## ")[0], re.DOTALL)[:3]


def skip_unless_installed(proxy: str) -> None:
    if program(proxy) is None and not IS_CI:
        pytest.skip(f"{proxy} isn't installed")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the service's Unix socket, where every user may pass."""
    place = tmp_path_factory.mktemp("u")
    for directory in (place, *place.parents[:-1]):
        if directory.stat().st_uid == os.geteuid():
            directory.chmod(directory.stat().st_mode | 0o011)
    return place / "s"


@pytest.fixture(scope="module")
def token_and_service(
    tmp_path_factory: pytest.TempPathFactory, path: Path
) -> Iterator[tuple[str, Service]]:
    state_dir = tmp_path_factory.mktemp("state") / "jobrunner"
    state_dir.mkdir()
    token = tokens.create(state_dir, "ann", [Scope.ADMIN])[1]
    settings = {
        "JOBRUNNER_ALLOWED_HOSTS": f"{NAME},127.0.0.1",
        "SANIC_PROXIES_COUNT": "1",
        "JOBRUNNER_PREFIX": PREFIX,
        "JOBRUNNER_SOCKET": str(path),
        "JOBRUNNER_SOCKET_GROUP": str(NOBODY.pw_gid if IS_ROOT else os.getegid()),
    }
    with running(state_dir, workers=2, environment=settings) as service:
        service.client.headers["Authorization"] = f"Bearer {token}"
        yield token, service


@pytest.fixture(scope="module")
def service(token_and_service: tuple[str, Service]) -> Service:
    return token_and_service[1]


@pytest.fixture(scope="module")
def sites(
    token_and_service: tuple[str, Service], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Site]]:
    """All that are installed, at once."""
    token, service = token_and_service
    directory = tmp_path_factory.mktemp("proxies")
    with ExitStack() as stack:
        yield {
            proxy: stack.enter_context(proxied(proxy, directory / proxy, service, token=token))
            for proxy in PROXIES
            if program(proxy) is not None
        }


@pytest.fixture(params=PROXIES)
def site(request: pytest.FixtureRequest, sites: dict[str, Site]) -> Site:
    skip_unless_installed(request.param)
    return sites[request.param]


def submit(site: Site, command: str) -> str:
    answer = site.client.post("/", json={"CommandLine": command})
    assert answer.status_code == 201, answer.text
    job_id: str = answer.json()["ID"]
    return job_id


def ran(commands: str, directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=directory,
    )


def test_each_line_comes_as_it_is_written_and_all_bytes_do_live_and_again(
    site: Site, gate: Gate, tmp_path: Path
) -> None:
    line = (
        f"echo first; read -r _ < {gate}; head -c {MEGABYTES}M /dev/urandom | tee {tmp_path}/bytes"
    )
    job_id = submit(site, line)
    digest = hashlib.sha256()
    with site.client.stream("GET", f"/{job_id}/attach") as stream:
        assert stream.http_version == "HTTP/2"
        chunks = stream.iter_raw()
        assert next(chunks) == b"first\n"  # the job waits: nothing more can have pushed it out
        gate.open()
        for chunk in chunks:
            digest.update(chunk)
    written = (tmp_path / "bytes").read_bytes()
    assert digest.digest() == hashlib.sha256(written).digest()
    again = hashlib.sha256()
    with site.client.stream("GET", f"/{job_id}/attach?offset=6") as stream:
        assert stream.headers["content-length"] == str(len(written))
        for chunk in stream.iter_raw():
            again.update(chunk)
    assert again.digest() == digest.digest()


def test_curl_speaks_http_2_with_it_and_waits_for_a_kill(
    site: Site, gate: Gate, tmp_path: Path
) -> None:
    job_id = submit(
        site, f"trap 'echo bye; exit 5' TERM; echo ready; read -r _ < {gate}; sleep 600 & wait"
    )
    polled = subprocess.Popen(
        [
            "bash",
            "-c",
            site.shell(f"curl -sS --http2 -w '%{{http_version}}' localhost:8080/{job_id}/wait"),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    gate.open()
    killed = ran(site.shell(f"curl -sSf -X DELETE 'localhost:8080/{job_id}?wait=true'"), tmp_path)
    assert json.loads(killed.stdout) == {"ID": job_id, "State": "killed"}
    body, version = polled.communicate(timeout=300)[0].rsplit("\n", 1)
    assert (json.loads(body)["State"], version) == ("killed", "2")


def test_a_client_that_is_gone_is_no_reader_any_more(site: Site, service: Service) -> None:
    def readers() -> int:
        text = service.client.get("/metrics").text
        return sum(
            int(float(n))
            for n in re.findall(r"^jobrunner_attached_readers{[^}]*} (\S+)$", text, re.MULTILINE)
        )

    job_id = submit(site, "echo first; sleep 600")
    before = readers()
    command = site.shell(f"exec curl -sSN localhost:8080/{job_id}/attach")
    with subprocess.Popen(["bash", "-c", command], stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == b"first\n"
        assert readers() == before + 1
        client.kill()
    until(lambda: readers() == before)
    service.kill(job_id, grace=0)


@pytest.mark.parametrize(
    ("proxy", "old", "new"),
    [
        ("nginx", "proxy_read_timeout 1d;", "proxy_read_timeout 1s;"),
        ("haproxy", "timeout server 1d", "timeout server 1s"),
    ],
)
def test_silence_is_bounded_by_the_setting_that_allows_a_day(
    proxy: str,
    old: str,
    new: str,
    token_and_service: tuple[str, Service],
    sites: dict[str, Site],
    tmp_path: Path,
) -> None:
    skip_unless_installed(proxy)
    token, service = token_and_service
    job_id = submit(sites[proxy], "echo first; sleep 3; echo second")
    with proxied(proxy, tmp_path / proxy, service, token=token, changes={old: new}) as short:
        # HAProxy ends it as if it were whole.
        with pytest.raises(httpx.RemoteProtocolError) if proxy == "nginx" else ExitStack():
            assert short.client.get(f"/{job_id}/attach").content == b"first\n"
        assert short.client.get(f"/{submit(short, 'sleep 3')}/wait").status_code == 504
    assert sites[proxy].client.get(f"/{job_id}/attach").content == b"first\nsecond\n"


# What curl's own exit status says of a stream whose worker was killed.
HIDES_A_CUT = {
    "HTTP/1.0": True,
    "nginx": False,
    "nginx HTTP/1.1": False,
    "nginx's defaults": True,
    "caddy": True,
    "caddy HTTP/1.1": True,
    "haproxy": True,
    "haproxy HTTP/1.1": False,
}


def test_two_lines_of_shell_see_a_cut_behind_every_proxy(
    service: Service,
    token_and_service: tuple[str, Service],
    sites: dict[str, Site],
    gate: Gate,
    tmp_path: Path,
) -> None:
    token, _ = token_and_service
    job_id = service.submit(f"echo first; read -r _ < {gate}; echo second")
    line, check = CHECK.splitlines()
    curl = f"curl -H 'Authorization: Bearer {token}'"
    direct = Site("", service.url, service.port, tmp_path / "none", service.client, curl)
    with ExitStack() as stack:
        ways = {"HTTP/1.0": (direct, "--http1.0 ")}
        for proxy, site in sites.items():
            ways |= {proxy: (site, ""), f"{proxy} HTTP/1.1": (site, "--http1.1 ")}
        if "nginx" in sites:  # no more than a proxy_pass
            plain = (DEPLOY / "nginx.conf").read_text()
            _, _, ours = plain.partition("proxy_pass http://jobrunner;\n")
            ours = ours.partition("        location ")[0]
            defaults = proxied(
                "nginx", tmp_path / "defaults", service, token=token,
                changes={ours: "proxy_set_header Host $http_host;\n"},
            )  # fmt: skip
            ways["nginx's defaults"] = stack.enter_context(defaults), ""
        lines: dict[str, subprocess.Popen[bytes]] = {}
        for name, (site, option) in ways.items():
            (tmp_path / name).mkdir(parents=True)
            commands = site.shell(line).replace("curl ", f"curl {option}")
            lines[name] = subprocess.Popen(
                ["bash", "-euc", f"ID={job_id}\n{commands}"],
                cwd=tmp_path / name,
                stderr=subprocess.DEVNULL,
            )
            saved = tmp_path / name / "out.log"
            until(lambda saved=saved: saved.exists() and saved.read_bytes() == b"first\n")
        with Watched(service.worker_pids(), some_ended=True) as workers:
            for pid in service.worker_pids():
                os.kill(pid, signal.SIGKILL)
            workers.wait_gone()
        hides = {name: process.wait(300) == 0 for name, process in lines.items()}
        until(lambda: service.client.get("/health/ready").status_code == 200)

        def seen() -> dict[str, bool]:
            """By the second line alone: whether it says that something is missing."""
            statuses = {}
            for name, (site, _) in ways.items():
                shown = ran(f"ID={job_id}\n{site.shell(check)}", tmp_path / name)
                assert shown.returncode in (0, 1), shown.stderr
                statuses[name] = shown.returncode == 1 and not shown.stderr
            return statuses

        assert all(seen().values())  # the job runs
        gate.open()
        assert service.wait(job_id)["State"] == "exited"
        assert all(seen().values())  # it has ended
        for name, (site, _) in ways.items():
            shown = ran(f"ID={job_id}\n{site.shell(CHECK)}", tmp_path / name)
            assert (shown.returncode, shown.stdout, shown.stderr) == (0, "", "")
            assert (tmp_path / name / "out.log").read_bytes() == b"first\nsecond\n"
    assert hides == {name: HIDES_A_CUT[name] for name in ways}


def test_the_recipe_saves_the_output_through_it(site: Site, tmp_path: Path) -> None:
    shown = ran(site.shell(f"{SUBMIT}{SAVE}{CHECK}wc -l < out.log"), tmp_path)
    assert (shown.returncode, shown.stdout, shown.stderr) == (0, "100000\n", "")


PASSES_TRAILERS = {"nginx": False, "caddy": True, "haproxy": True}


def test_trailers_come_through_where_the_proxy_passes_them(
    site: Site, gate: Gate, tmp_path: Path
) -> None:
    job_id = submit(site, f"echo first; read -r _ < {gate}; echo 2 >&2; exit 3")
    line = f"curl -sSN --http1.1 -H 'TE: trailers' -D heads -o out localhost:8080/{job_id}/attach"
    with subprocess.Popen(["bash", "-c", site.shell(line)], cwd=tmp_path):
        until(lambda: (tmp_path / "out").exists() and (tmp_path / "out").read_bytes())
        gate.open()
    fields = dict(re.findall(r"(?im)^jobrunner-(\w+): (\S+)\r?$", (tmp_path / "heads").read_text()))
    end = {name.lower(): value for name, value in fields.items() if name.lower() != "offset"}
    expected = {"state": "exited", "exitcode": "3", "bytes": "8", "stdout": "6", "stderr": "2"}
    expected |= {"sha256": hashlib.sha256(b"first\n2\n").hexdigest(), "next": "8"}
    assert end == (expected if PASSES_TRAILERS[site.proxy] else {})
    # Of a finished job the head has it, whatever the proxy; the digest once somebody asked for it.
    del expected["next"], expected["sha256"]
    head = site.client.head(f"/{job_id}/attach").headers
    assert {name: head[f"jobrunner-{name}"] for name in expected} == expected


UNDER_A_PATH = {
    "nginx": {"location / {": f"location {PREFIX}/ {{"},
    "caddy": {"reverse_proxy ": f"reverse_proxy {PREFIX}/* "},
    "haproxy": {
        "retries 0": f"retries 0\n    http-request deny deny_status 404 unless {{ path_beg {PREFIX}/ }}"
    },
}


@pytest.mark.parametrize("proxy", PROXIES)
def test_under_a_path_locations_and_links_lead_through_the_proxy(
    proxy: str, token_and_service: tuple[str, Service], tmp_path: Path
) -> None:
    skip_unless_installed(proxy)
    token, service = token_and_service
    name = f"under-{proxy}"
    job = {"CommandLine": "echo below", "Name": name}
    with proxied(
        proxy, tmp_path / proxy, service, token=token, changes=UNDER_A_PATH[proxy]
    ) as site:
        top = f"{PREFIX}/"
        # httpx
        made = site.client.post(top, json=job)
        assert made.headers["location"] == f"{PREFIX}/{made.json()['ID']}"
        where = made.url.join(made.headers["location"])
        assert site.client.get(f"{where}/attach").content == b"below\n"
        # curl
        post = f"curl -sSf localhost:8080{top} -H 'Content-Type: application/json' -d '{json.dumps(job)}'"
        commands = (
            f"at=$({post} -o made -w '%header{{location}}')\ncurl -sSf localhost:8080$at/attach"
        )
        assert ran(site.shell(commands), tmp_path).stdout == "below\n"
        # urllib, which knows the site by its address only
        context = ssl.create_default_context(cafile=tmp_path / proxy / "authority.pem")
        headers = {
            "Authorization": f"Bearer {token}",
            "Host": NAME,
            "Content-Type": "application/json",
        }

        def asked(url: str, body: bytes | None = None) -> tuple[str, bytes]:
            ask = urllib.request.Request(url, body, headers)  # noqa: S310 - this test's own
            with urllib.request.urlopen(ask, context=context, timeout=300) as answer:  # noqa: S310 - the same
                place = urllib.parse.urljoin(url, answer.headers.get("Location", ""))
                return place, answer.read()

        place, _ = asked(f"https://127.0.0.1:{site.port}{top}", json.dumps(job).encode())
        assert asked(f"{place}/attach")[1] == b"below\n"
        # Pages of a list, by httpx and by what the header says.
        found = []
        page = site.client.get(top, params={"state": "all", "name": name, "limit": 1})
        while True:
            found += page.json()["IDs"]
            if "next" not in page.links:
                break
            assert page.links["next"]["url"].startswith(f"{top}?")
            page = site.client.get(page.url.join(page.links["next"]["url"]))
        assert len(found) == len(set(found)) == 3
        assert site.client.get("/").status_code in (200, 404, 503)  # nothing of the service's
        assert "IDs" not in site.client.get("/").text


def test_with_and_without_the_prefix_the_service_is_the_same(service: Service) -> None:
    job_id = service.submit("echo 1")
    for path in (f"{PREFIX}/{job_id}/wait", f"/{job_id}/wait"):
        assert service.client.get(path).json()["ID"] == job_id
    for path in (PREFIX, f"{PREFIX}/", f"{PREFIX}?limit=5"):
        assert "IDs" in service.client.get(path).json()
    assert httpx.get(f"{service.url}{PREFIX}/health/live").status_code == 200
    described = service.client.get(f"{PREFIX}/openapi.json").json()
    assert [server["url"] for server in described["servers"]] == [PREFIX]
    assert_problem(service.client.get(f"{PREFIX}s/health/live"), 404)
    assert_problem(httpx.get(f"{service.url}{PREFIX}/metrics"), 401)


def test_a_prefix_that_a_route_has_is_refused(tmp_path: Path) -> None:
    service = Service(tmp_path / "jobrunner", environment={"JOBRUNNER_PREFIX": "/health/jobs"})
    try:
        assert service.process.wait(300) == 2
        service.wait_for_line(
            "JOBRUNNER_PREFIX is '/health/jobs', expected a path that doesn't begin with /health"
        )
    finally:
        service.close()


def test_names_sites_and_tokens_hold_behind_it(site: Site, service: Service) -> None:
    client = site.client
    # Caddy has no site of that name, and answers by itself.
    foreign = client.get("/", headers={"Host": "evil.example"})
    assert (foreign.status_code, foreign.content) == (200, b"") or foreign.status_code == 403
    assert_problem(client.get("/", headers={"Origin": "http://evil.example"}), 403)
    assert client.get("/", headers={"Origin": f"https://{NAME}"}).status_code == 200
    assert_problem(client.get("/", headers={"Authorization": "Bearer x"}), 401)
    # It adds whom it sees to what a client claims, or puts it in its place; only that is believed.
    forged = {"X-Forwarded-For": "203.0.113.7"}
    assert client.post("/", json={"CommandLine": "true"}, headers=forged).status_code == 201
    last = json.loads((service.state_dir / "audit.log").read_text().splitlines()[-1])
    assert (last["action"], last["principal"], last["of"]) == ("submit", "ann", "127.0.0.1")


def test_nginx_reaches_it_over_its_unix_socket_and_the_audit_log_has_both(
    token_and_service: tuple[str, Service], path: Path, tmp_path: Path, gate: Gate
) -> None:
    skip_unless_installed("nginx")
    token, service = token_and_service
    changes = {f"server 127.0.0.1:{service.port};": f"server unix:{path};"}
    with proxied("nginx", tmp_path / "nginx", service, token=token, changes=changes) as site:
        job_id = submit(site, f"echo first; read -r _ < {gate}; echo last")
        with site.client.stream("GET", f"/{job_id}/attach") as stream:
            lines = stream.iter_lines()
            assert next(lines) == "first"
            gate.open()
            assert list(lines) == ["last"]
    audited = (service.state_dir / "audit.log").read_text().splitlines()
    (line,) = [
        x for x in map(json.loads, audited) if (x["action"], x.get("job")) == ("submit", job_id)
    ]
    assert (line["of"], line["uid"]) == ("127.0.0.1", NOBODY.pw_uid if IS_ROOT else os.geteuid())


def test_it_takes_as_large_a_body_as_the_service_does(site: Site, tmp_path: Path) -> None:
    most = int(next(s.default for s in declared_settings() if s.name == "MAX_BODY"))
    assert f"client_max_body_size {most >> 20}m;" in (DEPLOY / "nginx.conf").read_text()
    assert f"max_size {most >> 20}MiB" in (DEPLOY / "Caddyfile").read_text()
    whole = b'{"CommandLine": ":"}'.ljust(most)
    for body, status in ((whole, "201"), (whole + b" ", "413")):
        (tmp_path / "body").write_bytes(body)
        post = "curl -sS localhost:8080/ -H 'Content-Type: application/json' --data-binary @body"
        shown = ran(site.shell(f"{post} -o answer -w '%{{http_code}}'"), tmp_path)
        assert shown.stdout == status, shown.stderr


# Whose the certificate is doesn't matter where a request is sent byte by byte.
ANYBODYS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
ANYBODYS.check_hostname, ANYBODYS.verify_mode = False, ssl.CERT_NONE


def connected(site: Site) -> ssl.SSLSocket:
    peer = socket.create_connection(("127.0.0.1", site.port), 30)
    return ANYBODYS.wrap_socket(peer, server_hostname=NAME)


@pytest.mark.parametrize("proxy", ["nginx", "haproxy"])
def test_one_address_has_so_many_readers_at_the_most(proxy: str, sites: dict[str, Site]) -> None:
    skip_unless_installed(proxy)
    site = sites[proxy]
    job_id = submit(site, "sleep 600")
    known = f"Authorization: {site.client.headers['Authorization']}"
    ask = f"GET /{job_id}/attach HTTP/1.1\r\nHost: {NAME}\r\n{known}\r\n\r\n".encode()
    with ExitStack() as open_:
        for _ in range(
            200 if proxy == "nginx" else 199
        ):  # HAProxy counts connections: httpx' own is one
            peer = open_.enter_context(connected(site))
            peer.sendall(ask)
            assert peer.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
        peer = open_.enter_context(connected(site))
        peer.sendall(ask)
        assert peer.recv(1 << 16).startswith(b"HTTP/1.1 429 ")
    until(lambda: site.client.delete(f"/{job_id}?grace=0").status_code == 200)


def test_no_request_hides_behind_it(site: Site) -> None:
    name = f"hidden-{site.proxy}"
    body = json.dumps({"CommandLine": "true", "Name": name}).encode()
    known = f"Authorization: {site.client.headers['Authorization']}\r\n".encode()
    hidden = (
        b"POST / HTTP/1.1\r\nHost: jobrunner.example\r\nContent-Type: application/json\r\n"
        + known + b"Content-Length: %d\r\n\r\n" % len(body) + body
    )  # fmt: skip
    for fields in (
        b"Content-Length : 400",
        b"Transfer-Encoding: xchunked",
        b"X: y\nContent-Length: 400",
    ):
        with connected(site) as peer:
            peer.sendall(
                b"GET /health/live HTTP/1.1\r\nHost: jobrunner.example\r\nConnection: close\r\n"
                + fields + b"\r\n\r\n" + hidden
            )  # fmt: skip
            peer.settimeout(5)  # what waits for more of a body
            try:
                while peer.recv(1 << 16):
                    continue
            except TimeoutError:
                pass
    assert site.client.get(f"/?state=all&name={name}").json()["IDs"] == []


def test_a_service_without_tokens_serves_nobody_behind_it(tmp_path: Path) -> None:
    with running(tmp_path / "jobrunner") as service:
        for proxy in filter(program, PROXIES):
            # By a name that the service answers to, too.
            changes = {NAME: "localhost"} if proxy == "caddy" else {}
            with proxied(proxy, tmp_path / proxy, service, changes=changes) as site:
                site.client.headers["Host"] = "localhost"
                for answer in (
                    site.client.get("/"),
                    site.client.post("/", json={"CommandLine": "true"}),
                ):
                    assert "proxy" in assert_problem(answer, 401)["detail"]
        assert service.client.get("/?state=all").json()["IDs"] == []


def test_input_goes_in_as_it_comes_and_has_any_length(site: Site, service: Service):
    """More than a submission may have, and a piece comes out while its request is under way."""
    job_id = service.submit({"CommandLine": "cat", "Stdin": True})
    large = bytes(6 << 20)
    with service.client.stream("GET", f"/{job_id}/attach") as output:
        pieces = output.iter_raw()

        def body() -> Iterator[bytes]:
            yield b"first"
            assert next(pieces) == b"first"
            yield large

        sent = site.client.post(f"/{job_id}/stdin", content=body(), params={"eof": "true"})
        assert sent.status_code == 200, sent.text
        assert sent.json() == {"Offset": len(large) + 5}
        assert sum(map(len, pieces)) == len(large)


def test_a_websocket_passes_both_ways(site: Site, service: Service) -> None:
    line = "read -r line; echo got $line; exit 7"
    job_id = site.client.post("/", json={"CommandLine": line, "Stdin": True}).json()["ID"]
    trusted = ssl.create_default_context(cafile=str(site.authority))
    with connect(
        f"wss://{NAME}/{job_id}/ws",
        subprotocols=[Subprotocol(V5)],
        additional_headers={"Authorization": service.client.headers["Authorization"]},
        origin=Origin(site.url),
        sock=socket.create_connection(("127.0.0.1", site.port)),
        ssl=trusted,
        proxy=None,
        open_timeout=300,
    ) as connection:
        connection.send(b"\x00word\n")
        came, code, _ = closed(connection)
    assert (output(came)[1], exit_code(came), code) == (b"got word\n", 7, 1000)
