"""Who gets a page in the place of JSON, what its headers forbid, and the files that it loads."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from running import Service, running

pytestmark = pytest.mark.e2e

UNKNOWN = "00000000-0000-4000-8000-000000000000"
CHROMIUM = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:;"
    " frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)


@pytest.fixture(scope="module")
def finished(service: Service) -> str:
    job_id: str = service.run({"CommandLine": "printf 'caf\\351 \\033[1mbold <b>'", "Name": "<i>"})[
        "ID"
    ]
    return job_id


def page(service: Service, path: str, accept: str = CHROMIUM, **headers: str) -> httpx.Response:
    return service.client.get(path, headers={"Accept": accept, **headers})


@pytest.mark.parametrize(
    ("accept", "is_page"),
    [
        (CHROMIUM, True),
        ("text/html", True),
        ("TEXT/HTML;level=1", True),
        ("text/*", True),
        ("text/html;q=0.9, application/json;q=0.8", True),
        (None, False),
        ("*/*", False),
        ("application/json;q=0, */*", False),  # HTML must be named
        ("application/json", False),
        ("text/event-stream", False),
        ("text/html, application/json", False),
        ("text/html;q=0.8, application/json;q=0.9", False),
        ("text/html;q=0", False),
        ("text/html;q=nonsense", False),
        ("text/plain", False),
    ],
)
def test_html_is_for_those_who_prefer_it(
    service: Service, finished: str, accept: str | None, *, is_page: bool
) -> None:
    assert service.wait(finished)["State"] == "exited"
    for path in ("/", f"/{finished}", f"/{UNKNOWN}", "/?state=nonsense"):
        request = service.client.build_request("GET", path)
        del request.headers["accept"]
        if accept is not None:
            request.headers["accept"] = accept
        answer = service.client.send(request)
        found = answer.headers["content-type"]
        assert found.startswith("text/html") == is_page, (path, found)
        if answer.status_code == 200:
            assert "accept" in answer.headers["vary"].lower()


def test_programs_get_what_they_got_before(service: Service, finished: str) -> None:
    asked = service.client.get(f"/{finished}")
    for agent in ("curl/8.5.0", "Wget/1.21.3"):
        other = page(service, f"/{finished}", "*/*", **{"User-Agent": agent})
        assert other.content == asked.content
        assert other.headers["content-type"] == "application/json"
    # Other routes know no page.
    assert page(service, "/openapi.json").headers["content-type"] == "application/json"
    assert page(service, f"/{finished}/output", "text/html, */*;q=0.1").status_code == 200


def test_a_page_may_load_its_own_files_alone_and_stands_in_no_frame(
    service: Service, finished: str
) -> None:
    terminal = service.run({"CommandLine": "true", "TTY": {}})["ID"]
    for path in ("/", f"/{finished}", f"/{terminal}", f"/{UNKNOWN}"):
        headers = page(service, path).headers
        assert headers["content-security-policy"] == POLICY
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert headers["cache-control"] == "no-store"


def test_head_has_the_headers_of_the_page(service: Service, finished: str) -> None:
    for path in ("/", f"/{finished}"):
        answer = service.client.head(path, headers={"Accept": CHROMIUM})
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert answer.content == b""


def test_without_a_script_a_job_is_text_that_hides_nothing(service: Service, finished: str) -> None:
    html = page(service, f"/{finished}").text
    assert "caf� ␛[1mbold &lt;b&gt;" in html
    assert "<h1>&lt;i&gt;</h1>" in html
    assert "<i>" not in html
    assert "<script>" not in html
    assert "style=" not in html


def test_without_a_script_the_last_64_kib_are_there(service: Service) -> None:
    job_id = service.run("seq 100000")["ID"]
    html = page(service, f"/{job_id}").text
    assert "The last 65536 of 588895 bytes" in html
    assert "\n99999\n100000\n</pre>" in html
    assert "\n80000\n" not in html
    empty = service.run("true")["ID"]
    assert "All 0 bytes" in page(service, f"/{empty}").text


def test_without_a_script_the_list_has_filters_and_further_pages(service: Service) -> None:
    for n in range(3):
        service.run({"CommandLine": f"exit {n}", "Labels": {"page": "plain"}})
    seen: list[str] = []
    path: str | None = "/?label=page%3Dplain&limit=1"
    while path is not None:
        html = page(service, path).text
        assert "<h1>3 jobs</h1>" in html
        seen += re.findall(r'<td><a href="/([\w-]{36})">', html)
        following = re.search(r'rel="next" href="([^"]+)"', html)
        path = following[1].replace("&amp;", "&") if following else None
    assert len(set(seen)) == len(seen) == 3
    assert 'href="/?state=running"' in html
    assert "No such job" in page(service, "/?name=nobody").text


def test_an_error_is_a_sentence(service: Service) -> None:
    answer = page(service, f"/{UNKNOWN}")
    assert answer.status_code == 404
    assert UNKNOWN in answer.text
    assert 'data-view="error"' in answer.text
    answer = page(service, "/?state=nonsense")
    assert answer.status_code == 400
    assert "expected all, or any of" in answer.text


# ---------------------------------------------------------------------------------- static files


def sources(html: str) -> list[str]:
    return re.findall(r'(?:src|href)="(/[^"]*static/[^"]+)"', html)


def test_static_files_are_kept_for_ever_and_have_their_types(service: Service) -> None:
    found = sources(page(service, "/").text)
    assert {path.rpartition(".")[2] for path in found} == {"js", "css", "svg"}
    types = {"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8", "svg": "image/svg+xml"}  # fmt: skip
    for path in found:
        answer = service.client.get(path)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == types[path.rpartition(".")[2]]
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert service.client.head(path).headers["content-type"] == answer.headers["content-type"]


def test_a_page_of_another_release_gets_files_that_it_must_not_keep(service: Service) -> None:
    answer = service.client.get("/static/0123456789abcdef/main.js")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    "name",
    [
        "nothing.js",
        "main",
        "list",
        "",
        "../assets.py",
        "..%2fassets.py",
        "%2e%2e/assets.py",
        "/etc/passwd",
        "main.js%00.css",
        "a" * 300 + ".js",
    ],
)
def test_nothing_else_is_a_static_file(service: Service, name: str) -> None:
    answer = service.client.get(f"/static/0/{name}", headers={"Accept": "*/*"})
    assert answer.status_code in (400, 404)
    assert "import" not in answer.text


def test_files_are_compressed_where_the_wheel_was_built(service: Service) -> None:
    """A work tree has no variants; `tox` tests the wheel, which has them."""
    from service.ui import assets

    path = next(path for path in sources(page(service, "/").text) if path.endswith("style.css"))
    plain = service.client.get(path, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.headers["vary"] == "Accept-Encoding"
    is_wheel = (assets.DIRECTORY / "style.css.gz").exists()
    for accepted, coding in (("gzip, deflate", "gzip"), ("gzip, br", "br"), ("br;q=0, gzip;q=0.5", "gzip")):  # fmt: skip
        with service.client.stream("GET", path, headers={"Accept-Encoding": accepted}) as answer:
            assert answer.headers.get("content-encoding") == (coding if is_wheel else None)
            raw = b"".join(answer.iter_raw())
        assert (len(raw) < len(plain.content)) == is_wheel


# ---------------------------------------------------------------------------------- behind a proxy


@pytest.fixture(scope="module")
def prefixed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    state_dir = tmp_path_factory.mktemp("state") / "jobrunner"
    with running(state_dir, environment={"JOBRUNNER_PREFIX": "/a/jobs"}) as service:
        yield service


def test_with_a_prefix_every_reference_begins_with_it(prefixed: Service) -> None:
    job_id = prefixed.run("echo hello")["ID"]
    for path in ("/", f"/{job_id}", f"/a/jobs/{job_id}"):
        html = page(prefixed, path).text
        assert 'data-prefix="/a/jobs"' in html
        references = re.findall(r'(?:src|href)="([^"]+)"', html)
        assert all(reference.startswith("/a/jobs/") for reference in references)
        assert prefixed.client.get(sources(html)[0]).status_code == 200


def navigation(**changes: str) -> dict[str, Any]:
    return {
        "Accept": CHROMIUM,
        "Sec-Fetch-Site": "cross-site",
        "Sec-Fetch-Mode": "navigate",
        "Sec-Fetch-Dest": "document",
        **changes,
    }


def test_a_link_of_another_site_leads_to_the_page_and_to_nothing_else(
    service: Service, finished: str
) -> None:
    get = service.client.get
    assert get(f"/{finished}", headers=navigation()).status_code == 200
    assert get("/", headers=navigation()).status_code == 200
    for path, headers in (
        (f"/{finished}", navigation(**{"Sec-Fetch-Dest": "iframe"})),
        (f"/{finished}", navigation(**{"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"})),
        (f"/{finished}", navigation(Accept="*/*")),
        (f"/{finished}", navigation(Origin="https://evil.example")),
        (f"/{finished}/output", navigation()),
        (f"/{finished}/attach", navigation()),
    ):
        assert get(path, headers=headers).status_code == 403, headers
    assert service.client.post(f"/{finished}/clean", headers=navigation()).status_code == 403
    assert service.client.delete(f"/{finished}", headers=navigation()).status_code == 403
