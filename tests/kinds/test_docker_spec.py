"""Commands in containers as they are asked for: what is taken, and what is told with its place."""

import pytest

from service.errors import InvalidJob
from service.kinds.docker.spec import reference
from service.kinds.settings import read_settings
from service.kinds.stored import decode_spec, encode_spec
from service.kinds.validation import validate_job

SETTINGS = read_settings({"JOBRUNNER_STATE_DIR": "/state", "JOBRUNNER_DOCKER_VOLUMES": "/srv"})


def parse(command, **keys):
    body = {"Commands": [{"Kind": "docker", **command}], **keys}
    return validate_job(body, SETTINGS)


@pytest.mark.parametrize(
    ("command", "image"),
    [
        ({"Repository": "busybox"}, "busybox"),
        ({"Registry": "", "Repository": "busybox", "Tag": "1"}, "busybox:1"),
        ({"Registry": "localhost:5000", "Repository": "a/b", "Tag": "x"}, "localhost:5000/a/b:x"),
        ({"Image": "localhost:5000/a/b:x"}, "localhost:5000/a/b:x"),
        ({"Image": f"a@sha256:{'0' * 64}"}, f"a@sha256:{'0' * 64}"),
    ],
)
def test_an_image_is_named_in_parts_or_whole_and_is_stored_as_it_was(command, image):
    job = parse(command)
    assert reference(job.commands[0]) == image
    assert decode_spec(encode_spec(job)).commands == job.commands


@pytest.mark.parametrize(
    ("command", "pointer"),
    [
        ({}, "/Repository"),
        ({"Repository": ""}, "/Repository"),
        ({"Repository": "--privileged"}, "/Repository"),
        ({"Repository": "UPPER"}, "/Repository"),
        ({"Repository": "a b"}, "/Repository"),
        ({"Repository": "a:b"}, "/Repository"),
        ({"Repository": "a", "Registry": "-v"}, "/Registry"),
        ({"Repository": "a", "Registry": "a/b"}, "/Registry"),
        ({"Repository": "a", "Tag": "-x"}, "/Tag"),
        ({"Repository": "a", "Tag": "x" * 129}, "/Tag"),
        ({"Image": "-v"}, "/Image"),
        ({"Image": ""}, "/Image"),
        ({"Image": "a\n"}, "/Image"),
        ({"Image": "a", "Tag": "x"}, "/Tag"),
        ({"Image": "a", "CommandLine": "x", "Arguments": ["x"]}, ""),
        ({"Image": "a", "CommandLine": " "}, "/CommandLine"),
        ({"Image": "a", "CommandLine": "echo 'x"}, "/CommandLine"),
        ({"Image": "a", "CommandLine": "a\0b"}, "/CommandLine"),
        ({"Image": "a", "Shell": True}, "/Shell"),
        ({"Image": "a", "Arguments": []}, "/Arguments"),
        ({"Image": "a", "Arguments": ["a", "b\0"]}, "/Arguments/1"),
        ({"Image": "a", "Arguments": "a"}, "/Arguments"),
        ({"Image": "a", "Entrypoint": ""}, "/Entrypoint"),
        ({"Image": "a", "Network": "--host"}, "/Network"),
        ({"Image": "a", "Network": ""}, "/Network"),
        ({"Image": "a", "Pull": "sometimes"}, "/Pull"),
        ({"Image": "a", "Memory": 1}, "/Memory"),
        ({"Image": "a", "Memory": "1g"}, "/Memory"),
        ({"Image": "a", "CPUs": 0}, "/CPUs"),
        ({"Image": "a", "PIDs": 0}, "/PIDs"),
        ({"Image": "a", "Privileged": True}, "/Privileged"),
        ({"Image": "a", "Volumes": ["/etc:/etc"]}, "/Volumes/0"),
        ({"Image": "a", "Volumes": ["/srv/a:/a", "/srv/../etc:/a"]}, "/Volumes/1"),
        ({"Image": "a", "Volumes": ["/srvx:/a"]}, "/Volumes/0"),
        ({"Image": "a", "Volumes": ["/srv"]}, "/Volumes/0"),
        ({"Image": "a", "Volumes": ["/srv:/"]}, "/Volumes/0"),
        ({"Image": "a", "Volumes": [f"/srv/{'a' * 9000}:/b"]}, "/Volumes/0"),
        ({"Image": "a", "Volumes": ["/srv:/a:rw:z"]}, "/Volumes/0"),
        ({"Image": "a", "Environment": {"PATH": "a\nb"}}, "/Environment/PATH"),
        ({"Image": "a", "Environment": {"DOCKER_HOST": "x" * 70_000}}, "/Environment/DOCKER_HOST"),
        ({"Image": "a", "Environment": {"ANY": "a\nb"}}, "/Environment/ANY"),
        ({"Image": "a", "Environment": {"GCONV_PATH": "a\n"}}, "/Environment/GCONV_PATH"),
        ({"Image": "a", "Environment": {"A": "b\r"}}, "/Environment/A"),
        ({"Image": "a", "Environment": {"#A": "b"}}, "/Environment/#A"),
        ({"Image": "a", "Environment": {"A B": "b"}}, "/Environment/A B"),
        ({"Image": "a", "Environment": {"\ufeffA": "b"}}, "/Environment/\ufeffA"),
        ({"Image": "a", "Environment": {"A\u2003": "b"}}, "/Environment/A\u2003"),
        ({"Image": "a", "Network": "host"}, "/Network"),
        ({"Image": "a", "Network": "bridge"}, "/Network"),
        ({"Image": "a", "Network": "container:other"}, "/Network"),
        ({"Image": "a", "Volumes": ["/srv/a\r\nb:/a"]}, "/Volumes/0"),
        ({"Image": "a", "Volumes": ["/srv/a:/a\n"]}, "/Volumes/0"),
        ({"Image": "a", "WorkingDir": "../x"}, "/WorkingDir"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(command, pointer):
    with pytest.raises(InvalidJob) as refused:
        parse(command)
    assert [place.pointer for place in refused.value.errors] == [f"/Commands/0{pointer}"]
    for place in refused.value.errors:
        assert place.detail
        assert len(place.detail) < 300


def test_a_job_that_works_elsewhere_needs_leave_for_that():
    assert parse({"Image": "a"}, WorkingDir="/srv/data").working_dir == "/srv/data"
    with pytest.raises(InvalidJob) as refused:
        parse({"Image": "a"}, WorkingDir="/etc")
    assert [place.pointer for place in refused.value.errors] == ["/WorkingDir"]


def test_no_value_of_the_environment_is_repeated():
    with pytest.raises(InvalidJob) as refused:
        parse({"Image": "a", "Environment": {"HTTP_PROXY": "secret\nsecret"}})
    assert "secret" not in str(refused.value.errors)
