"""From a body to a job: what is wrong is told with its place, and a stored job reads back."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import InvalidJob, MalformedBody
from service.files.job import JobFiles
from service.jobs.decoding import decode_object
from service.jobs.fields import MAX_COMMANDS, MAX_LABELS
from service.kinds import KINDS, Context, kind_of
from service.kinds.bash import BashCommand
from service.kinds.settings import read_settings
from service.kinds.stored import decode_spec, encode_spec
from service.kinds.validation import validate_job

SETTINGS = read_settings({"HOME": "/none"})


def parse_bytes(body, settings=SETTINGS):
    return validate_job(decode_object(body), settings)


def parse(value, settings=SETTINGS):
    return parse_bytes(json.dumps(value).encode(), settings)


def refusal(value):
    """The places of an invalid body, as (pointer, detail)."""
    with pytest.raises(InvalidJob) as refused:
        parse(value)
    return [(place.pointer, place.detail) for place in refused.value.errors]


# ------------------------------------------------------------------------------- what is taken


def test_a_command_line_alone_is_one_bash_command():
    spec = parse({"CommandLine": "echo hi"})
    assert spec.commands == (BashCommand(command_line="echo hi"),)
    assert (spec.timeout_s, spec.grace_s, spec.working_dir, spec.name) == (0.0, 10.0, None, None)


def test_kind_is_bash_unless_said_otherwise():
    with_kind = parse({"Commands": [{"Kind": "bash", "CommandLine": "x"}]})
    assert with_kind == parse({"Commands": [{"CommandLine": "x"}]}) == parse({"CommandLine": "x"})


def test_null_stands_for_what_is_not_given():
    keys = ("WorkingDir", "Name", "Timeout", "Grace")
    assert parse({"CommandLine": "x", **dict.fromkeys(keys)}) == parse({"CommandLine": "x"})


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        (
            {"Commands": [{"CommandLine": "a"}] * (MAX_COMMANDS + 1)},
            ("/Commands", "expected at most 1000 commands, got 1001"),
        ),
        (
            {"CommandLine": "a", "Labels": {str(n): "" for n in range(MAX_LABELS + 1)}},
            ("/Labels", "expected at most 64 labels, got 65"),
        ),
    ],
)
def test_a_list_that_is_too_long_is_told_and_not_looked_into(body, wrong):
    assert refusal(body) == [wrong]


def test_lists_of_the_greatest_length_are_taken():
    labels = {str(n): "" for n in range(MAX_LABELS)}
    spec = parse({"Commands": [{"CommandLine": "a"}] * MAX_COMMANDS, "Labels": labels})
    assert (len(spec.commands), spec.labels) == (MAX_COMMANDS, labels)


@pytest.mark.parametrize(
    ("name", "body", "wrong"),
    [
        (
            "OUTPUT_LIMIT",
            {"OutputLimit": 70000},
            ("/OutputLimit", "expected at most 65536 bytes, this service's own limit, got 70000"),
        ),
        (
            "LIMIT_OPEN_FILES",
            {"Limits": {"OpenFiles": 65537}},
            (
                "/Limits/OpenFiles",
                "expected at most 65536 descriptors, this service's own limit, got 65537",
            ),
        ),
    ],
)
def test_a_job_may_ask_for_no_more_than_the_service_allows(name, body, wrong):
    settings = read_settings({"HOME": "/none", f"JOBRUNNER_{name}": "65536"})
    with pytest.raises(InvalidJob) as refused:
        parse({"CommandLine": "x", **body}, settings)
    assert [(error.pointer, error.detail) for error in refused.value.errors] == [wrong]


def test_a_whole_number_may_be_written_with_a_fraction():
    assert parse({"CommandLine": "x", "OutputLimit": 65536.0}).output_limit == 65536
    assert refusal({"CommandLine": "x", "OutputLimit": 65536.5})[0][0] == "/OutputLimit"


def test_a_grace_of_zero_is_not_the_default():
    assert parse({"CommandLine": "x", "Grace": 0}).grace_s == 0.0


# ------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    "body",
    [b"", b"  ", b"{", b"[1,", b"nonsense", b'{"CommandLine": "x"} {}', b"\xff", b'{"a": "\xff"}']
    + [b'{"CommandLine": "\\ud800"}', b"NaN", b"{'a': 1}", b"[" * 100_000],
)
def test_what_is_no_json_is_malformed(body):
    with pytest.raises(MalformedBody) as refused:
        parse_bytes(body)
    assert refused.value.detail.startswith("Expected a JSON object, got ")
    assert len(refused.value.detail) < 300


@pytest.mark.parametrize(
    ("body", "got"),
    [([], "array"), ("x", "string"), (1, "number"), (1.5, "number"), (True, "boolean")]
    + [(None, "null")],
)
def test_json_that_is_no_object_is_told_as_such(body, got):
    assert refusal(body) == [("", f"expected object, got {got}")]


@pytest.mark.parametrize(
    ("body", "pointer", "words"),
    [
        ({"CommandLine": 1}, "/CommandLine", "expected string, got integer: 1"),
        ({"CommandLine": None}, "/CommandLine", "expected string, got null"),
        ({"Commands": "x"}, "/Commands", "expected array, got string"),
        ({"Commands": [1]}, "/Commands/0", "expected object, got integer"),
        ({"Commands": [{}]}, "/Commands/0/CommandLine", "expected this key, got none"),
        ({"Commands": [{"CommandLine": []}]}, "/Commands/0/CommandLine", "got array"),
        ({"Commands": [{"CommandLine": "x"}, {"CommandLine": "x", "A/B": 1}]}, "/Commands/1/A~1B",
         "unknown key; expected one of Background, CommandLine, ContinueOnFailure,"),
        ({"CommandLine": "x", "Kind": "bash"}, "/Kind", 'a key of a command: expected {"Commands": [{"Kind": …}]}'),
        ({"Image": "busybox", "Commands": []}, "/Image", "a key of a command"),
        ({"CommandLine": "x", "Comandline": "y"}, "/Comandline", "unknown key"),
        ({"CommandLine": "x", "a`b": "y"}, "/a`b", "unknown key"),
        ({"CommandLine": "x", "a\nb": "y"}, "/a\nb", "unknown key"),
        ({"CommandLine": "x", "commandline": "y"}, "/commandline", "unknown key"),
        ({"CommandLine": "x", "IdleTimeout": -1}, "/IdleTimeout", "expected number >= 0.0"),
        ({"CommandLine": "x", "QueueTimeout": "1"}, "/QueueTimeout", "expected number or null"),
        ({"CommandLine": "x", "Priority": 101}, "/Priority", "expected integer <= 100, got 101"),
        ({"CommandLine": "x", "Priority": -101}, "/Priority", "expected integer >= -100"),
        ({"CommandLine": "x", "Priority": 0.5}, "/Priority", "expected integer or null"),
        ({"CommandLine": "x", "Limits": {"Memory": -1}}, "/Limits/Memory", "expected integer >= 0"),
        ({"CommandLine": "x", "Limits": {"Memory": 1}}, "/Limits/Memory", "at least 4194304 bytes"),
        ({"CommandLine": "x", "Limits": {"CPUs": 0.001}}, "/Limits/CPUs", "at least 0.01 processors"),
        ({"CommandLine": "x", "Limits": {"PIDs": 1.5}}, "/Limits/PIDs", "expected integer"),
        ({"CommandLine": "x", "Limits": {"OpenFiles": 3}}, "/Limits/OpenFiles", "at least 16"),
        ({"CommandLine": "x", "Limits": {"FileSize": 1}}, "/Limits/FileSize", "at least 512 bytes"),
        ({"CommandLine": "x", "Limits": {"Disk": 1}}, "/Limits/Disk", "unknown key"),
        ({"CommandLine": "x", "Limits": 5}, "/Limits", "expected object or null"),
        ({"CommandLine": "x", "Environment": []}, "/Environment", "expected object, got array"),
        ({"CommandLine": "x", "Environment": {"A": "b", "C": 1}}, "/Environment/C",
         "expected string, got integer"),
        ({"CommandLine": "x", "Labels": {"a/b": None}}, "/Labels/a~1b", "expected string, got null"),
        ({"CommandLine": "x", "Timeout": "5"}, "/Timeout", "expected number"),
        ({"CommandLine": "x", "Timeout": True}, "/Timeout", "expected number"),
        ({"CommandLine": "x", "Timeout": -1}, "/Timeout", ">= 0"),
        ({"CommandLine": "x", "Grace": -0.5}, "/Grace", ">= 0"),
        ({"CommandLine": "x", "Timeout": 1e12}, "/Timeout", "<= 315360000"),
        ({"CommandLine": "x", "Name": ""}, "/Name", "length >= 1"),
        ({"CommandLine": "x", "Name": "n" * 257}, "/Name", "length <= 256"),
        ({"CommandLine": "x", "WorkingDir": 7}, "/WorkingDir", "expected string"),
        ({"CommandLine": ""}, "/CommandLine", "got an empty one"),
        ({"CommandLine": " \n"}, "/CommandLine", "got an empty one"),
        ({"CommandLine": "a\0b"}, "/CommandLine", "NUL, got one at character 1"),
        ({"Commands": [{"CommandLine": "x"}, {"CommandLine": ""}]}, "/Commands/1/CommandLine",
         "got an empty one"),
        ({"Commands": [{"CommandLine": "x", "WorkingDir": "a/.."}]}, "/Commands/0/WorkingDir",
         "without '..'"),
        ({"Commands": [{"CommandLine": "x", "Environment": {"A=": ""}}]},
         "/Commands/0/Environment/A=", "without '='"),
        ({"Commands": [{"CommandLine": "x", "ContinueOnFailure": 1}]},
         "/Commands/0/ContinueOnFailure", "expected boolean, got integer: 1"),
        ({"Commands": [{"Kind": "zsh", "CommandLine": "x"}]}, "/Commands/0/Kind", 'got "zsh"'),
        ({"Commands": [{"Kind": 1, "CommandLine": "x"}]}, "/Commands/0/Kind", "got 1"),
        ({"Commands": [{"Kind": None, "CommandLine": "x"}]}, "/Commands/0/Kind", "got null"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place(body, pointer, words):
    ((told_pointer, detail),) = refusal(body)
    assert told_pointer == pointer
    assert words in detail


@pytest.mark.parametrize("value", [1, {"deep": "hunter2"}, ["hunter2"], 3.5])
def test_values_of_the_environment_are_not_repeated(value):
    ((pointer, detail),) = refusal({"CommandLine": "x", "Environment": {"PASSWORD": value}})
    assert pointer == "/Environment/PASSWORD"
    assert "hunter2" not in detail
    assert not detail.endswith(str(value))


def test_a_long_wrong_value_is_cut_short():
    ((_, detail),) = refusal({"CommandLine": "x", "Timeout": "9" * 10_000})
    assert len(detail) < 200


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
known_keys = st.sampled_from(
    ["CommandLine", "Commands", "Environment", "WorkingDir", "Name", "Labels", "Timeout", "Grace"]
    + ["Kind", "ContinueOnFailure"]
)
bodies = st.dictionaries(known_keys | st.text(max_size=5), json_values, max_size=5)


@given(bodies | json_values | st.fixed_dictionaries({"Commands": st.lists(bodies, max_size=3)}))
def test_any_json_is_a_job_or_has_places_inside_it(value):
    body = msgspec.json.encode(value)
    try:
        spec = parse_bytes(body)
    except InvalidJob as exc:
        assert exc.errors
        for place in exc.errors:
            assert place.pointer == "" or place.pointer.startswith("/")
            assert place.detail
    else:
        assert encode_spec(decode_spec(encode_spec(spec))) == encode_spec(spec)


@given(st.binary(max_size=50))
def test_any_bytes_give_a_job_or_an_error_of_the_caller(body):
    try:
        parse_bytes(body)
    except (InvalidJob, MalformedBody) as exc:
        assert 400 <= exc.status < 500


# ---------------------------------------------------------------------------- stored and planned


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


@given(texts.filter(str.strip), st.dictionaries(texts.filter(lambda key: "=" not in key), texts))
def test_a_stored_job_reads_back_as_it_was(line, environment):
    spec = parse({"Commands": [{"CommandLine": line, "Environment": environment}]})
    stored = decode_spec(encode_spec(spec))
    assert msgspec.structs.astuple(stored) == msgspec.structs.astuple(spec)


def test_bodies_that_mean_the_same_are_stored_alike():
    one = parse_bytes(b'{"CommandLine": "x", "Environment": {"A": "1", "B": "2"}}')
    other = parse_bytes(
        b'{"Environment":{"B":"2","A":"1"},"Grace":10,"Commands":[{"Kind":"bash","CommandLine":"x"}]}'
    )
    assert encode_spec(one) == encode_spec(other)
    assert encode_spec(one) != encode_spec(parse({"CommandLine": "x "}))


def test_every_kind_is_found_by_its_name_and_by_its_spec():
    for name, kind in KINDS.items():
        assert kind.name == name
        assert kind.spec.__struct_config__.tag == name
        assert kind.spec.__struct_config__.tag_field == "Kind"


def context_on(path: str) -> Context:
    settings = read_settings({"HOME": "/none", "PATH": path})
    return Context(
        job_id="j",
        number=0,
        settings=settings,
        files=JobFiles("/j", "/l"),
        root="/j/work",
        environment={},
    )


def test_bash_is_found_on_the_services_path_and_never_reads_profiles(tmp_path):
    bash = tmp_path / "bash"
    bash.touch(mode=0o755)
    context = context_on(str(tmp_path))
    spec = BashCommand(command_line="echo 'a b'")
    assert kind_of(spec).plan(spec, context).argv == (str(bash), "-c", "echo 'a b'")
    assert kind_of(spec).name == "bash"
    nowhere = context_on(str(tmp_path / "none"))
    assert kind_of(spec).plan(spec, nowhere).argv[0] == "bash"
