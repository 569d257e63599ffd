"""Whatever a peer sends, the supervisor and the jobs of others live."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.link.frames import encode
from service.link.protocol import PROTOCOL

# Not sent: what ends the supervisor or all jobs when it makes sense (`upgrade`, `shutdown`), or has
# it take no more (`drain`).
TYPES = [
    "hello",
    "heartbeat",
    "claim",
    "start",
    "kill",
    "signal",
    "input",
    "make_log",
    "set_priority",
    "measure_usage",
    "list_processes",
    "ack",
    "release",
    "publish",
    "close_orphaned_log",
    "resume",
    "exit_if_idle",
    "novelty",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
SECONDS = st.sampled_from([0, 0.0, 0.5, 300, 1e10])
NUMBERS = st.sampled_from([0, 1, 2, 9, 64, (1 << 63) - 1])
# What makes sense, or nearly, for each key.
VALUES = {
    "job": st.sampled_from(["mine", "other", "a.b-c_d", "..", "a/b", ""]),
    "jobs": st.sampled_from([[], ["mine", "other"], ["..", ""], [1]]),
    "principal": st.sampled_from(["ann", ""]),
    "protocol": st.sampled_from([PROTOCOL, 0]),
    "role": st.sampled_from(["worker", "main", "operator"]),
    "argv": st.sampled_from([["true"], ["/bin/false", "\udcff"], ["/nonexistent"], [""], ["a\0b"]]),
    "env": st.sampled_from([{}, {"A": "\udcff"}, {"A=": "b"}, {"A": "\0"}, {"\ud800": ""}]),
    "cwd": st.sampled_from(["/", "/nonexistent", "relative", "/\0", ""]),
    "end_if": st.sampled_from(["always", "never", "nonzero"]),
    "reason": st.sampled_from(["requested", "no reason"]),
    "state": st.sampled_from(["running", "no state"]),
    "run_as": st.sampled_from([{"uid": 65534, "gid": 65534}, {"uid": 0}]),
    "limits": st.sampled_from([{}, {"open_files": 100}, {"memory": 1 << 20}, {"memory": -1}]),
    "fd_options": st.sampled_from([["a", "b"], ["\ud800"]]),
    "status_probe": st.sampled_from([["true"], []]),
    "probe_if": st.sampled_from([[[0, 255]], [[1]], [[3, 2]]]),
    "force_cleanup": st.sampled_from([["true"], ["/nonexistent"], ["a\0b"]]),
    "cleanup": st.sampled_from([["true"]]),
    "hook_env": st.sampled_from([{}, {"A": "b"}, {"A=": "b"}]),
    "input": st.sampled_from(["", "said", "\ud800"]),
    "data": st.sampled_from(["", "c2FpZA==", "c2F", "\ud800"]),
    "refusal": st.sampled_from(["", "It can't be."]),
    **dict.fromkeys(
        [
            "stdin",
            "end",
            "create_cwd",
            "as_service_user",
            "no_new_privs",
            "stored",
            "is_repeat",
            "heartbeats",
        ],
        st.booleans(),
    ),
    **dict.fromkeys(
        ["drain_s", "timeout_s", "idle_timeout_s", "grace_s", "queue_timeout_s"], SECONDS
    ),
    **dict.fromkeys(
        ["command", "signal", "requested_at", "seq", "priority", "max_running", "max_pending"]
        + ["pid", "dispatched", "output_limit_bytes", "work_dir_mode", "fd_options_index"]
        + ["offset", "input_index"],
        NUMBERS,
    ),
}
REQUIRED = {
    "hello": ["protocol", "role", "pid"],
    "claim": ["job"],
    "start": ["job", "command", "argv", "env", "cwd", "create_cwd", "end_if", "drain_s"]
    + ["timeout_s", "idle_timeout_s", "grace_s", "output_limit_bytes", "limits"],
    "kill": ["job", "signal", "grace_s", "reason", "requested_at"],
    "signal": ["job", "signal"],
    "input": ["job", "data"],
    "make_log": ["job"],
    "measure_usage": ["jobs"],
    "list_processes": ["job"],
    "ack": ["job", "seq"],
    "release": ["job"],
    "publish": ["job", "state"],
    "close_orphaned_log": ["job"],
}


@st.composite
def messages(draw):
    """Nearly sound ones, mostly: nonsense ends at the first key."""
    name = draw(st.sampled_from(TYPES))
    keys = set(REQUIRED.get(name, ())) | draw(st.sets(st.sampled_from(sorted(VALUES)), max_size=4))
    message = {key: draw(VALUES[key]) for key in sorted(keys)}
    if draw(st.booleans()):
        message[draw(st.sampled_from(sorted(VALUES)))] = draw(JSON)
    if message and draw(st.integers(0, 3)) == 0:
        message.pop(draw(st.sampled_from(sorted(message))))
    return {"type": name, "request_id": draw(st.integers(1000, 1003) | JSON), **message}


@pytest.mark.slow
def test_any_object_is_refused_or_accepted_and_the_jobs_of_others_live(plain_supervisor, fifo):
    ready, go = fifo(), fifo()
    worker = plain_supervisor.connect()
    worker.run("witness", f"echo > {ready}; read -r _ < {go}; echo alive")
    ready.line()
    peer = plain_supervisor.connect(role=None)
    rejected = accepted = 0

    @settings(
        max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(st.lists(messages(), min_size=1, max_size=4))
    def send(sent):
        nonlocal rejected, accepted
        for message in sent:
            peer.send_raw(encode(message))
            refusals = [m for m in peer.sync() if m["type"] == "rejected"]
            assert [m["rejected"] for m in refusals] in ([], [message["type"]])
            rejected += len(refusals)
            accepted += not refusals
            peer.inbox.clear()

    send()
    assert rejected, "some make no sense"
    assert accepted, "some do"
    assert "Traceback" not in plain_supervisor.log
    go.go()
    assert worker.event("witness", "finished")["outcome"] == "exited"
    assert worker.output("witness") == b"alive\n"
    assert plain_supervisor.process.poll() is None
