"""What is declared of parameters that go together is what is checked, and what the description tells."""

import pytest

from service.api.agreement import Agreement, Contradiction, Need
from service.api.description import document
from service.api.parameters import parameters
from service.api.routes import ROUTES
from service.errors import BadQuery

AGREEMENT = Agreement(
    contradictions=(Contradiction("near", "far", "both say where"),),
    needs=(Need("loud", "near"), Need("slow", "near"), Need("red", "far")),
    words=("All are lower case.",),
)
AGREED = [route for route in ROUTES if route.agreement != Agreement()]


@pytest.mark.parametrize(
    "given", [(), ("near",), ("near", "loud", "slow"), ("far", "red", "other")]
)
def test_what_goes_together_is_taken(given):
    AGREEMENT.check(given)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (("far", "near"), ("near", "far")),
        (("loud",), ("loud", "near")),
        (("red", "near"), ("red", "far")),
    ],
)
def test_what_does_not_is_refused_by_both_names(given, named):
    with pytest.raises(BadQuery) as caught:
        AGREEMENT.check(given)
    assert all(repr(name) in caught.value.detail for name in named)


def test_it_is_told_in_sentences():
    assert list(AGREEMENT.told()) == [
        "`near` and `far` contradict each other: both say where.",
        "`loud` and `slow` mean nothing without `near`.",
        "`red` means nothing without `far`.",
        "All are lower case.",
    ]


def test_a_route_is_told_of_its_own_parameters_alone():
    assert list(AGREEMENT.among(["far", "red"]).told()) == [
        "`red` means nothing without `far`.",
        "All are lower case.",
    ]


@pytest.mark.parametrize("route", AGREED, ids=lambda route: route.operation)
def test_the_description_tells_what_a_route_refuses(route):
    described = document([route])["paths"][route.path][route.method.lower()]["description"]
    names = {p.name for p in parameters(route.parameters).values()}
    sentences = list(route.agreement.among(names).told())
    assert sentences
    assert all(sentence in described for sentence in sentences)


def test_a_416_to_a_range_is_described_as_empty():
    (route,) = [route for route in ROUTES if route.operation == "output"]
    content = document([route])["paths"][route.path]["get"]["responses"]["416"]["content"]
    assert content.pop("application/problem+json")["schema"]
    assert set(content) == {"text/plain", "application/octet-stream"}
    assert all(each["schema"]["maxLength"] == 0 for each in content.values())
