"""The description of the API: whole, valid, and made from what validates and renders."""

import json
import os
import subprocess
import sys

import msgspec
import pytest
from jsonschema_rs import meta, validator_for

from service import errors, kinds
from service.api import examples, schemas
from service.api.description import ANYWHERE, document
from service.api.routes import ROUTES
from service.errors import InvalidJob
from service.jobs.decoding import decode_object
from service.jobs.spec import CommandSpec, JobBody
from service.kinds import Kind
from service.kinds.settings import read_settings
from service.kinds.validation import validate_job

# Also of routes that the app adds by itself, which have no declaration.
ASK = """\
import json
from service.app import create_app
app = create_app()
app.finalize()
found = [[getattr(r.ctx, "template", r.path), sorted(r.methods)] for r in app.router.routes]
print(json.dumps(found))
"""

SETTINGS = read_settings({"HOME": "/none"})


@pytest.fixture(scope="module")
def described():
    return json.loads(msgspec.json.encode(document(ROUTES)))


def test_every_route_of_the_app_is_described_and_nothing_else(described, tmp_path):
    asked = subprocess.run(
        [sys.executable, "-P", "-c", ASK],
        env={"JOBRUNNER_STATE_DIR": str(tmp_path / "state"), "PATH": os.defpath},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    served = {(path, method) for path, methods in json.loads(asked.stdout) for method in methods}
    told = {
        (path, method.upper())
        for path, operations in described["paths"].items()
        for method in operations
    }
    assert told == served


def references(value):
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for key, inner in value.items():
            if key == "mapping":
                yield from inner.values()
            else:
                yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def test_every_reference_leads_somewhere_and_every_schema_is_used(described):
    used = set(references(described))
    for reference in used:
        place = described
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]
    assert {r.rpartition("/")[2] for r in used if "/schemas/" in r} == set(
        described["components"]["schemas"]
    )


def test_every_schema_is_one(described):
    for schema in described["components"]["schemas"].values():
        meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})


def test_operations_have_names_of_their_own_and_links_lead_to_them(described):
    operations = [o for path in described["paths"].values() for o in path.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names)
    links = [
        (name, link)
        for operation in operations
        for answer in operation["responses"].values()
        for name, link in answer.get("links", {}).items()
    ]
    assert {name for name, _ in links} == {
        "show", "attach", "output", "wait", "kill", "signal", "resize", "clean", "rerun", "release", "list",
    }  # fmt: skip
    by_name = dict(zip(names, operations, strict=True))
    for _, link in links:
        takes = {parameter["name"] for parameter in by_name[link["operationId"]]["parameters"]}
        assert set(link["parameters"]) <= takes


def test_every_error_that_a_caller_is_told_about_is_described():
    told = {problem for route in ROUTES for problem in route.problems}
    leaves = {leaf for leaf in errors.LEAVES.values() if leaf.status != 500}
    # No route is known for some; the others can meet any request.
    routeless = {errors.UnknownRoute, errors.MethodNotAllowed, errors.HeadTooLarge}
    anywhere = leaves - told - routeless
    assert {leaf.code for leaf in anywhere} == {
        "body_too_large",
        "request_cut",
        "host_not_allowed",
        "missing_scope",
        "origin_not_allowed",
        "too_many_requests",
        "unauthenticated",
        "unavailable",
    }
    assert {leaf.status for leaf in anywhere} <= set(ANYWHERE)


def validator(described, name):
    schema = {"$ref": f"#/components/schemas/{name}", "components": described["components"]}
    return validator_for(schema)


RUNS = {"CommandLine": "true"}


def in_container(**keys):
    return {"Commands": [{"Kind": "docker", "Repository": "busybox", **keys}]}


@pytest.mark.parametrize(
    "body",
    [
        RUNS,
        {"Commands": [RUNS, {**RUNS, "Kind": "bash", "ContinueOnFailure": True}]},
        {**RUNS, "Environment": {"A": "1"}, "WorkingDir": "a/..b", "Name": "n", "Grace": 0.5},
        {**RUNS, "WorkingDir": "/tmp", "Labels": {"a": "b=c"}, "OutputLimit": 65536},
        {**RUNS, "OutputLimit": 0, "Timeout": None, "Name": None, "WorkingDir": None},
        {},
        {**RUNS, "Commands": [RUNS]},
        {"Commands": []},
        {"Commands": [RUNS] * 1001},
        {"Commands": [{**RUNS, "Kind": "fish"}]},
        {"Commands": [{"Kind": "bash"}]},
        {"Commands": [{**RUNS, "Timeout": 1}]},
        {"CommandLine": ""},
        {"CommandLine": " \n\x1c"},
        {"CommandLine": "a\0"},
        {**RUNS, "Extra": 1},
        {**RUNS, "Name": ""},
        {**RUNS, "Name": "a\0"},
        {**RUNS, "Name": "x" * 257},
        {**RUNS, "Environment": {"": "x"}},
        {**RUNS, "Environment": {"A=": "x"}},
        {**RUNS, "Environment": {"A": "\0"}},
        {**RUNS, "WorkingDir": ".."},
        {**RUNS, "WorkingDir": "a/../b"},
        {**RUNS, "WorkingDir": "a/.."},
        {**RUNS, "WorkingDir": ""},
        {**RUNS, "Labels": {"a=b": "x"}},
        {**RUNS, "Labels": {"a": "x" * 257}},
        {**RUNS, "Labels": {str(n): "" for n in range(65)}},
        {**RUNS, "OutputLimit": 65535},
        {**RUNS, "OutputLimit": 65536.0},
        {**RUNS, "OutputLimit": 0.5},
        {**RUNS, "Timeout": -1},
        {**RUNS, "IdleTimeout": 1.5, "QueueTimeout": 0, "Priority": -100},
        {**RUNS, "IdleTimeout": -1},
        {**RUNS, "QueueTimeout": "1"},
        {**RUNS, "Priority": 101},
        {**RUNS, "Priority": 0.5},
        {**RUNS, "Limits": {"Memory": 0, "CPUs": 0.5, "PIDs": 1, "OpenFiles": 16, "FileSize": 512}},
        {**RUNS, "Limits": {"Memory": 1}},
        {**RUNS, "Limits": {"CPUs": 0.001}},
        {**RUNS, "Limits": {"PIDs": -1}},
        {**RUNS, "Limits": {"OpenFiles": 15}},
        {**RUNS, "Limits": {"FileSize": 511}},
        {**RUNS, "Limits": {"Cpus": 1}},
        in_container(),
        in_container(Repository="a/b__c", Registry="", Tag=""),
        in_container(Repository="a/b", Registry="h.example:5000", Tag="1"),
        in_container(Repository="A"),
        in_container(Repository="a", Tag="-"),
        in_container(Image="h/a:1", Repository=None, Registry=None),
        in_container(Image="h/a:1", Repository="a"),
        in_container(Image="h/a:1", Repository=None, Tag=""),
        in_container(Image="--privileged", Repository=None),
        in_container(Repository=None),
        in_container(CommandLine="a", Arguments=["b"]),
        in_container(CommandLine=" "),
        in_container(Arguments=[]),
        in_container(Arguments=[""], Entrypoint="/a"),
        in_container(Entrypoint=""),
        in_container(CommandLine="a", Shell=True),
        in_container(CommandLine="a", Shell=True, Entrypoint="/a"),
        in_container(Shell=True),
        in_container(Network="none"),
        in_container(Network="-n"),
        in_container(Memory=1),
        in_container(Memory=1e8, PIDs=10.0),
        {**RUNS, "Priority": 1.0, "Limits": {"Memory": 1e8, "CPUs": 2}},
        {**RUNS, "Limits": {"Memory": 1e300}},
        {**RUNS, "Timeout": 1e300},
        in_container(Pull="often"),
        in_container(Volumes=["a:/b"]),
        in_container(Volumes=["/a"]),
        in_container(Volumes=["/a:b"]),
        in_container(Volumes=["/a:/b:x"]),
        in_container(Volumes=["/a/..:/b"]),
        in_container(Volumes=["/a\n:/b"]),
    ],
)
def test_the_description_takes_and_refuses_what_the_service_does(described, body):
    try:
        validate_job(decode_object(json.dumps(body).encode()), SETTINGS)
        is_taken = True
    except InvalidJob:
        is_taken = False
    assert validator(described, JobBody.__name__).is_valid(body) is is_taken


class FishCommand(
    CommandSpec,
    frozen=True,
    kw_only=True,
    rename="pascal",
    forbid_unknown_fields=True,
    tag_field="Kind",
    tag="fish",
):
    bait: int


class Fish(Kind):
    name = "fish"
    spec = FishCommand

    def errors_in(self, spec, pointer, site):
        return iter(())

    def plan(self, spec, context):
        raise NotImplementedError


def test_a_new_kind_appears_by_itself(monkeypatch):
    monkeypatch.setitem(kinds.KINDS, "fish", Fish())
    found = schemas.schemas()
    asked, shown = found["Command"], found["CommandView"]
    assert set(shown["discriminator"]["mapping"]) == {*kinds.KINDS}
    assert shown["discriminator"]["propertyName"] == "Kind"
    assert {"$ref": "#/components/schemas/FishCommand"} in asked["oneOf"]
    assert {"$ref": "#/components/schemas/FishCommandView"} in shown["oneOf"]
    assert found["FishCommand"]["required"] == ["Kind", "Bait"]
    assert {"Bait", "State", "ExitCode"} <= set(found["FishCommandView"]["properties"])
    assert "Kind" not in found["BashCommand"]["required"]  # the default


def test_no_route_is_described_twice():
    assert len({(route.method, route.path) for route in ROUTES}) == len(ROUTES)


# What generators of clients, and linters, ask for


def operations(described):
    return [o for path in described["paths"].values() for o in path.values()]


def schemas_in(value):
    """Every object that may be a schema."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from schemas_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from schemas_in(inner)


def test_no_schema_has_a_form_that_generators_refuse(described):
    for schema in schemas_in(described):
        assert "prefixItems" not in schema
        assert schema.get("items") is not False
        for value in schema.get("properties", {}).values():
            if isinstance(value, dict):
                assert value.get("type") != "null"
        if schema.get("type") in ("integer", "number") and "exclusiveMinimum" not in schema:
            assert "format" in schema
    for schema in described["components"]["schemas"].values():
        assert not {"anyOf", "allOf"} & schema.keys()
        for value in schema.get("properties", {}).values():
            assert "default" not in value


def test_every_key_of_a_request_may_be_left_out_but_what_a_command_is(described):
    found = described["components"]["schemas"]
    assert "required" not in found["JobBody"]
    assert "required" not in found["Limits"]
    assert found["BashCommand"]["required"] == ["CommandLine"]
    assert found["DockerCommand"]["required"] == ["Kind"]
    body = described["paths"]["/"]["post"]["requestBody"]
    assert body["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/JobBody"}


def test_every_operation_is_told_and_has_one_of_the_tags(described):
    tags = {tag["name"] for tag in described["tags"]}
    assert {tag for o in operations(described) for tag in o["tags"]} == tags
    assert described["servers"][0]["url"] == "/"
    assert document(ROUTES, "/jobs")["servers"][0]["url"] == "/jobs"
    for operation in operations(described):
        assert operation["description"].startswith(operation["summary"])
        for response in operation["responses"].values():
            assert response["description"]
        for parameter in operation["parameters"]:
            assert parameter["description"]


def test_every_json_body_has_an_example_that_its_schema_takes(described):
    held = [o["requestBody"] for o in operations(described) if "requestBody" in o]
    held += [r for o in operations(described) for r in o["responses"].values() if "content" in r]
    contents = [c for h in held for c in h["content"].values() if "$ref" in c.get("schema", ())]
    assert contents
    for content in contents:
        schema = {**content["schema"], "components": described["components"]}
        assert content["examples"]
        for example in content["examples"].values():
            name = example["$ref"].rpartition("/")[2]
            value = described["components"]["examples"][name]["value"]
            validator_for(schema).validate(value)
    settings = read_settings({"HOME": "/none", "JOBRUNNER_DOCKER_IMAGES": "*"})
    for value in examples.BODIES[JobBody].values():
        validate_job(value[1], settings)
