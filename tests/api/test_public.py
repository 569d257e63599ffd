"""A route is public because it says so, and only where that makes one path public."""

import pytest

from service.api.public import public_routes


class Declared:
    def __init__(self, path, methods, *, public=None, params=None):
        self.path, self.methods, self.params = path, methods, params or {}
        self.ctx = type("Ctx", (), {} if public is None else {"public": public})()


class Router:
    def __init__(self, *routes):
        self.routes = routes


def test_what_says_nothing_is_not_public():
    assert (
        public_routes(Router(Declared("a", {"GET"}), Declared("b", {"GET"}, public=False))) == set()
    )


def test_what_says_so_is_public_with_its_methods_and_no_others():
    router = Router(Declared("health/live", {"GET", "HEAD"}, public=True), Declared("x", {"GET"}))
    assert public_routes(router) == {("GET", "/health/live"), ("HEAD", "/health/live")}


@pytest.mark.parametrize(
    "route",
    [
        Declared("<job_id:str>", {"GET"}, public=True, params={"job_id": str}),
        Declared("health/reset", {"POST"}, public=True),
        Declared("health/live", {"GET", "DELETE"}, public=True),
    ],
)
def test_what_changes_something_or_has_many_paths_cannot_be_public(route):
    with pytest.raises(ValueError, match="can't be public"):
        public_routes(Router(route))
