"""The schema of a submission and validation agree: what the schema refuses is refused, and what it takes is taken, unless a
rule of the list beyond the schema refuses it. The same for query parameters."""

import json
import re
from urllib.parse import quote, urlencode

import msgspec
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from jsonschema_rs import validator_for
from schema_values import near, odd, values

from service.api.description import document
from service.api.parameters import Parser, Where, parameters
from service.api.routes import ROUTES
from service.engine.unsupported import unsupported, unsupported_limits
from service.errors import BadQuery, InvalidJob
from service.jobs.ceilings import Ceilings, check_ceilings
from service.jobs.conversion import convert
from service.jobs.decoding import MAX_TEXT, MAX_VALUES, decode_object
from service.jobs.spec import JobChange
from service.kinds.beyond_schema import RULES, rules_of
from service.kinds.settings import read_settings
from service.kinds.validation import validate_job

DOCUMENT = json.loads(msgspec.json.encode(document(ROUTES)))
COMPONENTS = DOCUMENT["components"]
SETTINGS = read_settings({"HOME": "/none"})
# The operator's limits and lists are in force.
STRICT = read_settings(
    {
        "HOME": "/none",
        "JOBRUNNER_OUTPUT_LIMIT": "100000",
        "JOBRUNNER_LIMIT_OPEN_FILES": "100",
        "JOBRUNNER_DOCKER_IMAGES": "busybox",
        "JOBRUNNER_DOCKER_VOLUMES": "/usr/share",
        "JOBRUNNER_SANDBOX": "bwrap",
    }
)

# The same bodies each time. Without shrinking: a body is small, and a search for a smaller one takes minutes.
BOUNDED = settings(derandomize=True, database=None, phases=[Phase.explicit, Phase.generate])

SCHEMA = validator_for({"$ref": "#/components/schemas/JobBody", "components": COMPONENTS})


def submissions():
    """Bodies with a command line, or with commands."""
    body = COMPONENTS["schemas"]["JobBody"]

    def having(key, other):
        rest = {name: value for name, value in body["properties"].items() if name != other}
        return values({**body, "properties": rest, "required": [key]}, COMPONENTS)

    return st.one_of(having("CommandLine", "Commands"), having("Commands", "CommandLine"))


SUBMISSIONS = submissions()


def errors_in(body, settings):
    try:
        validate_job(decode_object(json.dumps(body).encode()), settings)
    except InvalidJob as exc:
        return exc.errors
    return []


def assert_agreed(body, settings):
    errors = errors_in(body, settings)
    if SCHEMA.is_valid(body):
        for error in errors:
            assert rules_of(error.pointer, error.detail), error
    else:
        assert errors, [error.message for error in SCHEMA.iter_errors(body)]


@pytest.mark.parametrize("service", [SETTINGS, STRICT], ids=["default", "strict"])
@settings(BOUNDED, max_examples=150)
@given(data=st.data())
def test_what_the_schema_takes_is_taken_or_refused_by_a_rule_of_the_list(service, data):
    assert_agreed(data.draw(SUBMISSIONS), service)


@settings(BOUNDED, max_examples=150)
@given(near(SUBMISSIONS))
def test_near_misses_are_refused_by_both(body):
    assert_agreed(body, SETTINGS)


@settings(BOUNDED, max_examples=50)
@given(near(values(COMPONENTS["schemas"]["JobChange"], COMPONENTS)))
def test_a_change_too(body):
    schema = {"$ref": "#/components/schemas/JobChange", "components": COMPONENTS}
    try:
        convert(decode_object(json.dumps(body).encode()), JobChange)
        is_taken = True
    except InvalidJob:
        is_taken = False
    assert validator_for(schema).is_valid(body) is is_taken


# ------------------------------------------------------------- each rule of the list is in force

RUNS = {"CommandLine": "true"}


def command(**keys):
    return {"Commands": [{**RUNS, **keys}]}


def container(**keys):
    return {"Commands": [{"Kind": "docker", "Image": "busybox", **keys}]}


def on_a_cluster(**keys):
    return {"Commands": [{"Kind": "slurm", "CommandLine": "true", "Slurm": keys}]}


LONG = "x" * (128 << 10)
# Bodies that the schema takes, each refused by one rule alone, named by its errors.
BEYOND = [
    (SETTINGS, {**RUNS, "Environment": {str(n): "" for n in range(MAX_VALUES)}}, "values"),
    (SETTINGS, {"CommandLine": "x" * (MAX_TEXT + 1)}, "characters, got"),
    (STRICT, {**RUNS, "OutputLimit": 100001}, "bytes, this"),
    (STRICT, {**RUNS, "Limits": {"OpenFiles": 101}}, "descriptors, this"),
    (SETTINGS, command(Shell=["fish", "-c"]), "one of the shells"),
    (SETTINGS, command(Shell=["bash", "-e"]), "option -c"),
    (SETTINGS, command(Shell=["bash", "-c", LONG]), "as the kernel takes no more"),
    (STRICT, command(Network="host"), "host's network"),
    (SETTINGS, command(Network="none"), "no sandbox"),
    (STRICT, command(Background="keep"), "a sandbox ends all"),
    (SETTINGS, container(Network="other"), "network that this service allows"),
    (STRICT, container(Image="alpine"), "image that this service allows"),
    (SETTINGS, container(CommandLine="a 'b"), "words as a shell"),
    (SETTINGS, container(CommandLine="x" * (128 << 10) + "x"), "to split into words"),
    (SETTINGS, container(CommandLine=LONG, Shell=True), "as the kernel takes no more"),
    (SETTINGS, container(Arguments=[LONG]), "as the kernel takes no more"),
    (SETTINGS, container(Volumes=["/a:/b"]), "no path of this host"),
    (STRICT, container(Volumes=["/usr/share:/"]), "directory of the container"),
    (STRICT, container(Volumes=["/usr/share:/b\u2028"]), "control characters"),
    (STRICT, container(Volumes=["/etc:/b"]), "path below one of"),
    (SETTINGS, {**container(), "WorkingDir": "/a"}, "for the command in a container"),
    (SETTINGS, {**container(), "Environment": {"A": "a\nb"}}, "value of one line"),
    (SETTINGS, container(Environment={"A B": ""}), "value of one line"),
    (SETTINGS, {**container(), "Limits": {"Memory": 5 << 20}}, "job with a container"),
    (SETTINGS, on_a_cluster(Options=["--exclusive"]), "option that this service allows"),
    (SETTINGS, {**on_a_cluster(), "TTY": {}}, "none for a job with a command of Slurm"),
    (SETTINGS, {**on_a_cluster(), "Limits": {"PIDs": 5}}, "no such limit"),
    (SETTINGS, {**RUNS, "Files": {"a": {"Text": "x" * (4 << 20) + "x"}}}, "bytes in all"),
    (SETTINGS, {**RUNS, "Files": {"a": {"Text": "x", "Base64": "eA=="}}}, "exactly one of Text"),
    (SETTINGS, {**RUNS, "Files": {"a": {"Base64": "?"}}}, "expected base64"),
    (SETTINGS, {**RUNS, "Files": {"ä" * 200: {"Text": ""}}}, "names of at most"),
]


def beyond_settings():
    """Errors of what a token, and the supervisor that runs, don't allow."""

    def spec(body):
        assert SCHEMA.is_valid(body)
        return validate_job(decode_object(json.dumps(body).encode()), SETTINGS)

    with pytest.raises(InvalidJob) as refused:
        check_ceilings(spec({**RUNS, "Priority": 5}), Ceilings(priority=0))
    old = {"capabilities": [], "unsupported_limits": {"pids": "no controller"}}
    return [
        *refused.value.errors,
        *unsupported(spec({**command(Stderr="stdout"), "Priority": 5}), SETTINGS, old),
        *unsupported_limits(spec({**RUNS, "Limits": {"PIDs": 5}}), SETTINGS, old),
    ]


def test_each_rule_alone_refuses_a_body_that_the_schema_takes():
    errors = beyond_settings()
    for service, body, words in BEYOND:
        assert SCHEMA.is_valid(body), words
        (error,) = errors_in(body, service)
        assert words in error.detail
        errors.append(error)
    met = set()
    for error in errors:
        (rule,) = rules_of(error.pointer, error.detail)
        met.add(rule)
    assert met == set(RULES)


def test_each_rule_is_told_in_the_description():
    told = COMPONENTS["schemas"]["JobBody"]["description"]
    for rule in RULES:
        assert rule.meaning in told


# ------------------------------------------------------------------------------ query parameters

# What is taken beyond the schema, or refused beyond it, and why.
_MOMENT = re.compile(r"[-0-9]{10}[Tt ][0-9:.]{8,18}([Zz]|[-+ ][0-9:]{5})")  # as people write it
TAKEN_TOO = {
    "boolean": re.compile("[01]"),  # as many clients write it
    "integer": re.compile("-?0*[0-9]+"),  # zeros before the number
    "number": re.compile(r"0*[0-9]*\.?[0-9]*([eE][+-]?[0-9]+)?"),
    "since": _MOMENT,
    "until": _MOMENT,
}
REFUSED_TOO = {
    "after": "only the service makes cursors",
    "ID": "whatever the router found is looked up",
}


def query_parameters():
    found = {}
    for route in ROUTES:
        for declared in parameters(route.parameters).values():
            if declared.where is Where.QUERY:
                schema = {k: v for k, v in declared.schema().items() if k != "default"}
                schema = schema["items"] if schema.get("type") == "array" else schema
                found.setdefault((declared.name, str(schema)), (route, declared.name, schema))
    return [pytest.param(*case, id=f"{case[0].operation}-{case[1]}") for case in found.values()]


class NoHeaders(dict):
    def getall(self, name, default):
        return default


def parsed(route, name, text):
    declared = parameters(route.parameters).values()
    in_path = {p.name: "x" for p in declared if p.where is Where.PATH}
    others = [p.name for p in declared if p.is_required and p.where is Where.QUERY]
    given = {name: text, **{other: "1" for other in others if other != name}}
    try:
        Parser(route.parameters).parse(in_path, urlencode(given, quote_via=quote), NoHeaders())
    except BadQuery:
        return False
    return True


WHOLE, REST = r"-?(0|[1-9][0-9]*)", r"(\.[0-9]+)?([eE][+-]?[0-9]+)?"


def readings(text, schema):
    """What a text in a query string may be, by the types of its schema. Source: OpenAPI 3.1, style form."""
    types = {one.get("type") for one in schema.get("anyOf", [schema])}
    yield text
    if ("integer" in types and re.fullmatch(WHOLE, text)) or (
        "number" in types and re.fullmatch(f"{WHOLE}{REST}", text)
    ):
        yield json.loads(text)
    if "boolean" in types and text in ("true", "false"):
        yield text == "true"


@pytest.mark.parametrize(("route", "name", "schema"), query_parameters())
def test_the_schema_of_a_query_parameter_and_its_parser_agree(route, name, schema):
    is_valid = validator_for(schema).is_valid

    @settings(BOUNDED, max_examples=30)
    @given(st.one_of(values(schema, COMPONENTS), odd()))
    def agree(drawn):
        text = drawn if isinstance(drawn, str) else json.dumps(drawn)
        is_described = any(is_valid(value) for value in readings(text, schema))
        is_parsed = parsed(route, name, text)
        if is_described and not is_parsed:
            assert name in REFUSED_TOO, text
        if is_parsed and not is_described:
            taken = TAKEN_TOO.get(name, TAKEN_TOO.get(schema.get("type", "")))
            assert taken is not None, text
            assert taken.fullmatch(text), text

    agree()


def test_every_property_of_every_schema_is_told():
    for name, schema in COMPONENTS["schemas"].items():
        for key, value in schema.get("properties", {}).items():
            assert value.get("description"), f"{name}.{key}: say it in service/api/meanings.py"
