"""Which references the patterns of an operator allow."""

import pytest

from service.kinds.docker.allowed_images import canonical, is_allowed

DIGEST = f"sha256:{'0' * 64}"


@pytest.mark.parametrize(
    ("image", "whole"),
    [
        ("busybox", "docker.io/library/busybox:latest"),
        ("docker.io/busybox:1", "docker.io/library/busybox:1"),
        ("index.docker.io/busybox", "docker.io/library/busybox:latest"),
        ("team/tool:1", "docker.io/team/tool:1"),
        ("localhost/tool", "localhost/tool:latest"),
        ("Registry.Example:5000/a/b:2", "registry.example:5000/a/b:2"),
        (f"busybox:1@{DIGEST}", f"docker.io/library/busybox@{DIGEST}"),
        ("d1a364dc548d", "docker.io/library/d1a364dc548d:latest"),
        ("sha256:d1a364dc548d", "docker.io/library/sha256:d1a364dc548d"),
    ],
)
def test_a_reference_is_completed_as_docker_does(image, whole):
    assert canonical(image) == whole
    assert is_allowed(image, [whole])


@pytest.mark.parametrize(
    ("pattern", "allowed", "refused"),
    [
        ("busybox", ["busybox", "busybox:2", f"busybox@{DIGEST}", "docker.io/library/busybox"],
         ["team/busybox", "localhost/busybox", "busybox2", "evil.com/library/busybox"]),
        ("busybox:1", ["busybox:1", "library/busybox:1"],
         ["busybox", "busybox:12", f"busybox:1@{DIGEST}"]),
        ("busybox:1.*", ["busybox:1.36"], ["busybox:1", "busybox:11"]),
        ("busy*:0*", ["busybox:01"], [f"busybox:1@{DIGEST}"]),
        (f"busybox@{DIGEST}", [f"busybox:9@{DIGEST}"], ["busybox", f"a/busybox@{DIGEST}"]),
        ("*", ["busybox:1", "library/busybox"], ["team/tool", "localhost/a", "a.b/c"]),
        ("registry.example/*", ["registry.example/a", "registry.example/a/b:1"],
         ["registry.example.com/a", "evil.com/registry.example/a", "registry.example:5000/a"]),
        ("*.example/team/*", ["a.example/team/x", "a.b.example/team/x/y"],
         ["evil.com/x.example/team/y", "example/team/x", "a.example/teams/x"]),
        ("registry?example/a", [], ["registry.example/a"]),
        ("[::1]:5000/a", ["[::1]:5000/a"], [":/a", "1/a"]),
    ],
)  # fmt: skip
def test_a_pattern_allows_what_it_says(pattern, allowed, refused):
    for image in allowed:
        assert is_allowed(image, ["other.example/x", pattern]), image
    for image in refused:
        assert not is_allowed(image, ["other.example/x", pattern]), image


def test_without_patterns_every_image_is_allowed():
    assert is_allowed("any.example/thing", [])
