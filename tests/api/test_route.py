"""A declaration that contradicts itself is refused, and one that holds is registered as a whole."""

import pytest

from service.access.scopes import Scope
from service.api.parameters import NoParameters, OfJob
from service.api.route import Route, Routes, Success


def declared(method="GET", path="/x", **fields):
    return Route(
        **{
            "method": method,
            "path": path,
            "operation": "x",
            "meaning": "X.",
            "parameters": NoParameters,
            "scope": Scope.READ,
            "successes": (Success(200, "Yes."),),
            **fields,
        }
    )


def test_a_route_is_not_public_unless_it_says_so():
    assert not declared().is_public
    assert declared(is_public=True).is_public


@pytest.mark.parametrize(
    ("method", "path", "parameters"),
    [
        ("GET", "/{ID}", OfJob),
        ("POST", "/health/reset", NoParameters),
        ("DELETE", "/health/live", NoParameters),
    ],
)
def test_what_changes_something_or_has_many_paths_cannot_be_public(method, path, parameters):
    with pytest.raises(ValueError, match="can't be public"):
        declared(method, path, parameters=parameters, is_public=True)


@pytest.mark.parametrize(
    ("path", "parameters"), [("/{ID}", NoParameters), ("/x", OfJob), ("/{Name}", OfJob)]
)
def test_the_parameters_of_the_path_are_those_that_are_declared(path, parameters):
    with pytest.raises(ValueError, match="has the parameters"):
        declared(path=path, parameters=parameters)


def test_head_works_where_get_does():
    assert declared("GET").methods == ("GET", "HEAD")
    assert declared("DELETE").methods == ("DELETE",)


def test_a_handler_is_kept_with_its_declaration_and_stays_a_function():
    routes, route = Routes(), declared()

    @routes.add(route)
    async def handler(_request, _given):
        return None

    assert list(routes) == [(route, handler)]
