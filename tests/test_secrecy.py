"""The search for secrets finds what it is there for: else the whole suite would prove nothing."""

import httpx
import pytest
from secrecy import CANARY, Secrets

VALUE = "pass-word-1234567"
TOKEN = "jr_0123456789ab_" + "A" * 43
(OF_THE_SERVICE,) = CANARY.values()


@pytest.fixture
def secrets():
    kept = Secrets()
    command = {"CommandLine": "true", "Environment": {"B": f"{VALUE}-of-a-command"}}
    for body in ({"CommandLine": "true", "Environment": {"A": VALUE}}, {"Commands": [command]}):
        kept.remember(httpx.Request("POST", "http://localhost/", json=body))
    return kept


@pytest.fixture
def state_dir(tmp_path):
    (tmp_path / "jobs" / "1").mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize(
    "line", [f"ran with {VALUE}", f"{VALUE}-of-a-command", TOKEN, f"x={OF_THE_SERVICE}"]
)
def test_a_secret_in_a_log_line_is_found(secrets, state_dir, line):
    secrets.assert_kept(state_dir, ["a", "b"])
    with pytest.raises(AssertionError, match="the log"):
        secrets.assert_kept(state_dir, ["a", line, "b"])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("audit.log", VALUE),
        ("supervisor.log", TOKEN),
        ("tokens.json", TOKEN),
        ("jobs.db", OF_THE_SERVICE),
        ("jobs/1/output", OF_THE_SERVICE),
    ],
)
def test_a_secret_in_a_file_is_found(secrets, state_dir, name, text):
    (state_dir / name).write_text(f"first\n{text}\n")
    with pytest.raises(AssertionError, match=name):
        secrets.assert_kept(state_dir, [])


@pytest.mark.parametrize(("name", "text"), [("jobs.db", VALUE), ("jobs/1/output", TOKEN)])
def test_what_a_job_was_given_and_says_is_its_own(secrets, state_dir, name, text):
    (state_dir / name).write_text(text)
    secrets.assert_kept(state_dir, [])
