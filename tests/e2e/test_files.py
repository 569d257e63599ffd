"""Files of a job over HTTP: list, read, write, remove, as whole directories too."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import tarfile
import zipfile
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from answers import assert_problem
from gates import Gate, lines
from running import Service

pytestmark = pytest.mark.e2e
WORKERS = 2

NEVER_GIVEN = "00000000-0000-4000-8000-000000000000"
ODD = [
    b"a b",
    b"new\nline",
    b"q?#%&+=;",
    b"\xff\xfe",
    "grün".encode(),
    b"-rf",
    b"'\"\\",
    b"...",
    b"~",
]


@pytest.fixture
def held(service: Service):
    """A held job, killed afterwards."""
    job_id = service.submit({"CommandLine": "sha256sum f", "Hold": True})
    yield job_id
    service.kill(job_id)


def url(job_id: str, path: str | bytes = "") -> str:
    return f"/{job_id}/files/{quote(path)}"


def put(service: Service, job_id: str, path: str | bytes, data: bytes, **headers: str):
    names = {key.replace("_", "-"): value for key, value in headers.items()}
    return service.client.put(url(job_id, path), content=data, headers=names)


def get(service: Service, job_id: str, path: str | bytes = "", **options):
    return service.client.get(url(job_id, path), **options)


def names(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [entry["Name"] for entry in answer.json()["Entries"]]


def work(service: Service, job_id: str) -> Path:
    return service.state_dir / "jobs" / job_id / "work"


def curl(service: Service, *arguments: str, **options):
    command = ["curl", "-sS", *arguments]
    return subprocess.run(command, check=False, capture_output=True, **options)


def test_a_file_goes_into_a_held_job_and_comes_out_again(service: Service, held: str):
    assert names(get(service, held)) == []
    empty = get(service, held, params={"archive": "tar"}).content
    with tarfile.open(fileobj=io.BytesIO(empty)) as archive:
        assert archive.getnames() == []
    answer = put(service, held, "f", b"abc")
    assert answer.status_code == 201
    assert answer.json() | {"ModifiedAt": ""} == {
        "Name": "f", "Path": "f", "Type": "file", "Size": 3, "ModifiedAt": "", "Mode": "0644",
    }  # fmt: skip
    assert service.client.post(f"/{held}/release").status_code == 200
    assert service.wait(held)["ExitCode"] == 0
    assert service.output(held).split()[0].decode() == hashlib.sha256(b"abc").hexdigest()
    read = get(service, held, "f")
    assert read.content == b"abc"
    assert read.headers["etag"] == answer.headers["etag"]
    assert read.headers["content-disposition"] == "attachment; filename=\"f\"; filename*=UTF-8''f"
    assert read.headers["content-type"] == "application/octet-stream"
    head = service.client.head(url(held, "f"))
    assert (head.status_code, head.headers["content-length"]) == (200, "3")
    # After the run as well, until it is cleaned.
    assert put(service, held, "later", b"x").status_code == 201
    assert service.client.post(f"/{held}/clean").status_code == 200
    assert_problem(get(service, held, "f"), 404)


def test_names_are_any_bytes(service: Service, held: str):
    for name in ODD:
        assert put(service, held, b"dir/" + name, name).status_code == 201
    listed = get(service, held, "dir").json()["Entries"]
    assert [entry["Name"] for entry in listed] == [n.decode(errors="replace") for n in sorted(ODD)]
    for entry, name in zip(listed, sorted(ODD), strict=True):
        assert service.client.get(f"/{held}/files/dir/{entry['Path']}").content == name
    assert sorted(os.listdir(os.fsencode(work(service, held) / "dir"))) == sorted(ODD)
    tar = get(service, held, "dir", params={"archive": "tar"}).content
    extracted = service.state_dir.parent / f"x{held}"
    extracted.mkdir()
    subprocess.run(["tar", "-x", "-C", extracted], input=tar, check=True)
    assert sorted(os.listdir(os.fsencode(extracted))) == sorted(ODD)
    for name in ODD:
        assert service.client.delete(url(held, b"dir/" + name)).status_code == 204
    assert service.client.delete(url(held, "dir")).status_code == 204
    assert_problem(service.client.delete(url(held, "dir")), 404)


@pytest.mark.parametrize(
    "path", ["..", "a/../b", "%2e%2e/a", "a//b", "./a", "a%00b", "%2Fetc/passwd", "x" * 256]
)
def test_a_path_that_is_none_is_refused(service: Service, held: str, path: str):
    for method in ("GET", "PUT", "DELETE"):
        done = curl(
            service, "--path-as-is", "-X", method, "-d", "x" if method == "PUT" else "", "-H",
            "Content-Type: application/json", str(service.client.base_url).rstrip("/") + f"/{held}/files/{path}",
        )  # fmt: skip
        assert json.loads(done.stdout)["status"] == 400, (method, done.stdout)
    assert names(get(service, held)) == []


def test_ranges_and_conditions_when_reading(service: Service, held: str):
    etag = put(service, held, "f", b"0123456789").headers["etag"]
    cases = {
        "bytes=2-4": (206, b"234", "bytes 2-4/10"),
        "bytes=7-": (206, b"789", "bytes 7-9/10"),
        "bytes=-2": (206, b"89", "bytes 8-9/10"),
        "bytes=10-": (416, b"", "bytes */10"),
        "lines=1-": (200, b"0123456789", None),
    }
    for asked, (status, content, told) in cases.items():
        answer = get(service, held, "f", headers={"Range": asked})
        assert (answer.status_code, answer.content) == (status, content), asked
        assert answer.headers.get("content-range") == told
    date = get(service, held, "f").headers["last-modified"]
    for headers, status in [
        ({"If-None-Match": etag}, 304),
        ({"If-None-Match": '"other"'}, 200),
        ({"If-Modified-Since": date}, 304),
        ({"If-Match": '"other"'}, 412),
        ({"If-Match": etag}, 200),
        ({"If-Unmodified-Since": "Thu, 01 Jan 1970 00:00:00 GMT"}, 412),
        ({"Range": "bytes=1-2", "If-Range": etag}, 206),
        ({"Range": "bytes=1-2", "If-Range": date}, 206),
        ({"Range": "bytes=1-2", "If-Range": '"other"'}, 200),
    ]:
        assert get(service, held, "f", headers=headers).status_code == status, headers


def test_conditions_when_writing(service: Service, held: str):
    first = put(service, held, "f", b"1", If_None_Match="*")
    assert first.status_code == 201
    assert_problem(put(service, held, "f", b"2", If_None_Match="*"), 412)
    assert_problem(put(service, held, "new/g", b"2", If_Match="*"), 412)
    assert names(get(service, held)) == ["f"]
    second = put(service, held, "f", b"2", If_Match=first.headers["etag"])
    assert second.status_code == 200
    assert second.headers["etag"] != first.headers["etag"]
    assert_problem(put(service, held, "f", b"3", If_Match=first.headers["etag"]), 412)
    answer = service.client.delete(url(held, "f"), headers={"If-Match": first.headers["etag"]})
    assert_problem(answer, 412)
    assert get(service, held, "f").content == b"2"


def test_modes_are_set_and_kept(service: Service, held: str):
    answer = service.client.put(url(held, "run.sh"), params={"mode": "755"}, content=b"#!")
    assert answer.json()["Mode"] == "0755"
    assert put(service, held, "run.sh", b"#!/bin/sh").json()["Mode"] == "0755"
    assert_problem(service.client.put(url(held, "x"), params={"mode": "4755"}, content=b""), 400)


def test_what_is_of_the_wrong_type_is_told(service: Service, held: str):
    put(service, held, "dir/f", b"x")
    assert_problem(put(service, held, "dir", b"x"), 409)
    assert_problem(put(service, held, "dir/f/g", b"x"), 409)
    assert_problem(put(service, held, "dir/", b"x"), 400)
    assert_problem(get(service, held, "dir/f/"), 409)
    assert_problem(service.client.delete(url(held, "dir")), 409)
    assert_problem(put(service, held, "g", b"x", Content_Range="bytes 0-0/1"), 400)
    assert service.client.delete(url(held, "dir"), params={"recursive": "true"}).status_code == 204
    assert names(get(service, held)) == []


def test_lists_are_paged_by_name(service: Service):
    line = "mkdir -p a/b a-b c; touch a/b/f a/x a-b/y c/z d; ln -s d l; mkfifo p"
    job_id = service.run(line)["ID"]
    entries = get(service, job_id).json()["Entries"]
    assert [(e["Name"], e["Type"]) for e in entries] == [
        ("a", "directory"), ("a-b", "directory"), ("c", "directory"), ("d", "file"),
        ("l", "symlink"), ("p", "other"),
    ]  # fmt: skip
    whole = names(get(service, job_id, params={"recursive": "true"}))
    assert whole == ["a", "a/b", "a/b/f", "a/x", "a-b", "a-b/y", "c", "c/z", "d", "l", "p"]
    for recursive, expected in (("false", [e["Name"] for e in entries]), ("true", whole)):
        for limit in (1, 2, 3):
            found, parameters = [], {"recursive": recursive, "limit": str(limit)}
            while True:
                page = get(service, job_id, params=parameters).json()
                assert len(page["Entries"]) <= limit
                found += [entry["Name"] for entry in page["Entries"]]
                if "Next" not in page:
                    break
                parameters["after"] = page["Next"]
            assert found == expected
    assert names(service.client.get(f"/{job_id}/files")) == [e["Name"] for e in entries]
    assert_problem(get(service, job_id, params={"limit": "0"}), 400)


def test_foreign_and_unknown_jobs_have_no_files(service: Service):
    for answer in (
        get(service, NEVER_GIVEN),
        get(service, NEVER_GIVEN, "f"),
        put(service, NEVER_GIVEN, "f", b"x"),
        service.client.delete(url(NEVER_GIVEN, "f")),
    ):
        assert assert_problem(answer, 404)["type"].endswith("unknown_job")


def test_archives_have_what_is_there(service: Service):
    line = (
        "mkdir -p d/e; echo one > d/one; printf '' > d/e/empty; head -c 300000 /dev/urandom > big;"
        " ln -s ../one d/e/link; mkfifo d/fifo; chmod 750 d/e; sha256sum big"
    )
    job_id = service.run(line)["ID"]
    digest = service.output(job_id).split()[0].decode()
    expected = {"big", "d", "d/e", "d/e/empty", "d/e/link", "d/one"}
    for form, mode in (("tar", "r:"), ("tar.gz", "r:gz")):
        answer = get(service, job_id, params={"archive": form})
        assert answer.headers["content-disposition"].startswith('attachment; filename="files.tar')
        with tarfile.open(fileobj=io.BytesIO(answer.content), mode=mode) as archive:
            assert set(archive.getnames()) == expected
            assert archive.getmember("d/e").mode == 0o750
            assert archive.getmember("d/e/link").linkname == "../one"
            big = archive.extractfile("big")
            assert big is not None
            assert hashlib.sha256(big.read()).hexdigest() == digest
    answer = get(service, job_id, params={"archive": "zip"})
    with zipfile.ZipFile(io.BytesIO(answer.content)) as zipped:
        assert zipped.testzip() is None
        assert {name.rstrip("/") for name in zipped.namelist()} == expected
        assert hashlib.sha256(zipped.read("big")).hexdigest() == digest
        assert zipped.read("d/e/link") == b"../one"
    assert_problem(get(service, job_id, "big", params={"archive": "tar"}), 409)
    assert_problem(get(service, job_id, "none", params={"archive": "tar"}), 404)
    assert_problem(get(service, job_id, params={"archive": "rar"}), 400)


def extract(service: Service, job_id: str, data: bytes, path: str = "", form: str = "tar"):
    return service.client.put(url(job_id, path), params={"extract": form}, content=data)


def test_tar_goes_in_and_comes_back_the_same(service: Service, held: str, tmp_path: Path):
    source = tmp_path / "source"
    (source / "d" / ("long" * 60)).mkdir(parents=True)
    (source / "d" / ("long" * 60) / ("name" * 60)).write_bytes(os.urandom(70000))
    (source / "d" / "run").write_text("x")
    (source / "d" / "run").chmod(0o751)
    os.link(source / "d" / "run", source / "hard")
    (source / "d" / "link").symlink_to("../hard")
    for name in ODD:
        (source / os.fsdecode(name)).write_bytes(name)
    (source / "closed").mkdir()
    (source / "closed" / "f").write_text("f")
    (source / "closed").chmod(0o555)
    for form, options in (("tar", ["--format=gnu"]), ("tar", ["--format=pax"]), ("tar.gz", ["-z"])):
        made = subprocess.run(
            ["tar", *options, "-C", source, "-c", "."], check=True, capture_output=True
        )
        answer = extract(service, held, made.stdout, "in", form)
        assert answer.status_code == 200, answer.text
        assert answer.json()["Entries"] > len(ODD)
        back = get(service, held, "in", params={"archive": "tar"}).content
        target = tmp_path / f"back-{options}"
        target.mkdir()
        subprocess.run(["tar", "-x", "-C", target], input=back, check=True)
        subprocess.run(["diff", "-r", "--no-dereference", source, target], check=True)
        assert (target / "d" / "run").stat().st_mode & 0o777 == 0o751
        assert (target / "closed").stat().st_mode & 0o777 == 0o555
        answer = service.client.delete(url(held, "in"), params={"recursive": "true"})
        assert answer.status_code == 204


def test_an_archive_goes_into_the_directory_itself(service: Service, held: str, tmp_path: Path):
    (tmp_path / "a.tar").write_bytes(tar_of((member("x/y"), b"z")))
    url_of_all = f"{str(service.client.base_url).rstrip('/')}/{held}/files?extract=tar"
    done = curl(service, "-fT", str(tmp_path / "a.tar"), url_of_all)
    assert json.loads(done.stdout) == {"Entries": 1}
    assert names(get(service, held, params={"recursive": "true"})) == ["x", "x/y"]


def tar_of(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for info, data in members:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return made.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (member("/etc/x"), "absolute"),
        (member("../x"), "'..'"),
        (member("a/../../x"), "'..'"),
        (member("l", tarfile.SYMTYPE, "/etc/passwd"), "leads out"),
        (member("l", tarfile.SYMTYPE, "../../x"), "leads out"),
        (member("l", tarfile.LNKTYPE, "../x"), "'..'"),
        (member("dev", tarfile.CHRTYPE), "a device"),
        (member("p", tarfile.FIFOTYPE), "a FIFO"),
    ],
)
def test_what_would_lead_out_is_not_unpacked(
    service: Service, held: str, bad: tarfile.TarInfo, words: str
):
    data = tar_of((member("good"), b"x"), (bad, b""), (member("late"), b"y"))
    detail = assert_problem(extract(service, held, data), 422)["detail"]
    assert words in detail
    assert names(get(service, held)) == ["good"]


def test_a_broken_archive_is_told(service: Service, held: str):
    whole = tar_of((member("a"), b"x" * 3000), (member("b"), b"y"))
    assert "ends too early" in assert_problem(extract(service, held, whole[:2000]), 422)["detail"]
    assert names(get(service, held)) == []
    detail = assert_problem(extract(service, held, b"no tar" * 200), 422)["detail"]
    assert "no tar archive" in detail
    assert "gzip" in assert_problem(extract(service, held, whole, form="tar.gz"), 422)["detail"]


def test_curl_uploads_resumes_and_tar_unpacks(service: Service, held: str, tmp_path: Path):
    base = str(service.client.base_url).rstrip("/")
    data = os.urandom(3_000_000)
    (tmp_path / "up").write_bytes(data)
    done = curl(service, "-fT", str(tmp_path / "up"), f"{base}/{held}/files/f")
    assert (done.returncode, json.loads(done.stdout)["Size"]) == (0, len(data))
    (tmp_path / "down").write_bytes(data[:1_234_567])
    done = curl(service, "-f", "-C", "-", "-o", str(tmp_path / "down"), f"{base}/{held}/files/f")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "down").read_bytes() == data
    done = curl(service, "-f", "-C", "-", "-o", str(tmp_path / "down"), f"{base}/{held}/files/f")
    assert (tmp_path / "down").read_bytes() == data
    line = f"tar -C {tmp_path} -c up | curl -sSfT - '{base}/{held}/files/d?extract=tar'"
    subprocess.run(["bash", "-o", "pipefail", "-c", line], check=True, capture_output=True)
    line = f"curl -sSf '{base}/{held}/files/d?archive=tar.gz' | tar -xzO up | cmp - {tmp_path}/up"
    subprocess.run(["bash", "-o", "pipefail", "-c", line], check=True)


def test_an_upload_that_is_cut_leaves_nothing(service: Service, gate: Gate):
    job_id = service.submit(f"echo ready; read -r _ < {gate}; ls -A")
    assert lines(service, job_id, 1) == ["ready"]

    def cut():
        yield b"x" * 100_000
        raise ConnectionError

    with pytest.raises(ConnectionError):
        service.client.put(url(job_id, "f"), content=cut())
    gate.open()
    service.wait(job_id)
    assert service.output(job_id) == b"ready\n"


def test_what_is_done_with_files_is_audited(service: Service, held: str):
    put(service, held, "a b", b"x")
    get(service, held, "a b")
    service.client.delete(url(held, "a b"))
    service.client.post(f"/{held}/release")
    written = map(json.loads, (service.state_dir / "audit.log").read_text().splitlines())
    found = [(e["action"], e.get("request")) for e in written if e.get("job") == held]
    path = f"/{held}/files/a%20b"
    assert found[1:] == [
        ("write", f"PUT {path}"), ("read", f"GET {path}"), ("remove", f"DELETE {path}"),
        ("release", None),
    ]  # fmt: skip
