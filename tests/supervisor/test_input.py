"""The pipe of a job's input is the job's: across commands, connections and upgrades, until it ends."""

import hashlib
import os
import random
from base64 import b64encode

import pytest

from service.link.to_supervisor import MAX_INPUT_BYTES

PIPE_BYTES = 64 << 10


def sent(client, job, data=b"", **fields):
    return client.request("input", job=job, data=b64encode(data).decode(), **fields)


def ask(client, number, job, data, **fields):
    """Send a piece, and don't wait for the reply."""
    client.send("input", job=job, data=b64encode(data).decode(), request_id=number, **fields)


def finished(client, job):
    if not client.event(job, "finished")["end_offset"]:
        return b""
    return client.output(job)


def test_what_is_written_comes_out_and_the_end_ends_the_reader(client, job):
    client.run(job, "cat; echo over", stdin=True)
    client.event(job, "started")
    assert sent(client, job, b"one\n") == sent(client, job, offset=4) | {"request_id": 1 + 2}
    assert sent(client, job, b"two\n", offset=4, end=True)["offset"] == 8
    assert finished(client, job) == b"one\ntwo\nover\n"


def test_commands_read_one_after_the_other_from_the_same_pipe(client, job):
    client.run(job, "read -r line; echo first $line", stdin=True, end_if="never")
    client.event(job, "started")
    assert sent(client, job, b"a\nb\nc\n", end=True)["offset"] == 6
    for number in (1, 2):
        client.event(job, "ended")
        end_if = "always" if number == 2 else "never"
        client.start(job, "read -r line; echo $line", command=number, stdin=True, end_if=end_if)
    assert finished(client, job) == b"first a\nb\nc\n"


def test_a_wrong_offset_is_refused_with_the_present_one(client, job):
    client.run(job, "cat", stdin=True)
    client.event(job, "started")
    sent(client, job, b"abc", offset=0)
    for wrong in (0, 2, 4, 1 << 60):
        reply = sent(client, job, b"xyz", offset=wrong)
        assert (reply["ok"], reply["why"], reply["offset"]) == (False, "offset", 3)
    sent(client, job, b"def", offset=3, end=True)
    assert finished(client, job) == b"abcdef"


def test_the_end_can_be_repeated_and_nothing_comes_after_it(client, job, fifo):
    go = fifo()
    client.run(job, f"cat; read -r _ < {go}", stdin=True)
    client.event(job, "started")
    for _ in range(2):
        assert sent(client, job, end=True)["ok"]
    reply = sent(client, job, b"more")
    assert (reply["why"], reply["offset"]) == ("closed", 0)
    go.go()
    assert finished(client, job) == b""
    assert sent(client, job, b"more")["why"] == "ended"


def test_a_job_without_input_and_one_that_waits_and_one_that_is_none(client, job, fifo):
    go = fifo()
    client.run(job, f"cat; read -r _ < {go}")
    client.event(job, "started")
    assert sent(client, job, b"x")["why"] == "no_input"
    go.go()
    assert finished(client, job) == b""
    client.claim(f"{job}-pending")
    assert sent(client, f"{job}-pending", b"x")["why"] == "pending"
    assert sent(client, "no-such-job", b"x")["why"] == "unknown_job"


@pytest.mark.parametrize(
    "fields",
    [
        {"data": "no base64!"},
        {"data": "AAA"},
        {"data": b64encode(bytes(MAX_INPUT_BYTES + 1)).decode()},
        {"data": 7},
        {"data": "", "offset": -1},
        {"data": "", "end": "yes"},
    ],
)
def test_what_is_no_piece_is_rejected(client, job, fields):
    client.send("input", job=job, request_id=999, **fields)
    assert client.expect("rejected", request_id=999)["rejected"] == "input"


def full(client, job):
    """A job that doesn't read, and whose pipe is full with nothing waiting; the offset."""
    client.event(job, "started")
    return sent(client, job, bytes(PIPE_BYTES))["offset"]


def test_a_writer_waits_until_the_job_reads_and_others_are_not_delayed(client, job, fifo):
    go, other = fifo(), f"{job}-other"
    client.run(job, f"read -r _ < {go}; cat > /dev/null", stdin=True)
    offset = full(client, job)
    ask(client, 1001, job, bytes(PIPE_BYTES), offset=offset, end=True)
    client.run(other, "cat", stdin=True)
    client.event(other, "started")
    sent(client, other, b"quick", end=True)
    assert finished(client, other) == b"quick"
    assert not [m for m in client.sync() if m.get("request_id") == 1001]
    go.go()
    assert client.expect("reply", request_id=1001)["offset"] == offset + PIPE_BYTES
    assert finished(client, job) == b""


def test_a_piece_for_which_there_is_no_room_is_sent_again_when_there_is(client, job, fifo):
    go = fifo()
    client.run(job, f"read -r _ < {go}; cat | sha256sum", stdin=True)
    offset = full(client, job)
    pieces = [bytes([n]) * MAX_INPUT_BYTES for n in (1, 2, 3)]
    ask(client, 1001, job, pieces[0])
    ask(client, 1002, job, pieces[1])
    ask(client, 1003, job, pieces[2], offset=offset + MAX_INPUT_BYTES)
    assert not [m for m in client.sync() if m.get("request_id", 0) > 1000]
    go.go()
    assert client.expect("reply", request_id=1001)["ok"]
    for number, piece in ((1002, pieces[1]), (1003, pieces[2])):
        reply = client.expect("reply", request_id=number)
        assert (reply["ok"], reply["why"]) == (False, "no_room")
        assert sent(client, job, piece)["ok"]
    assert sent(client, job, end=True)["offset"] == 4 * PIPE_BYTES
    whole = hashlib.sha256(bytes(PIPE_BYTES) + b"".join(pieces)).hexdigest()
    assert finished(client, job).split()[0].decode() == whole


@pytest.mark.parametrize("how", ["kill", "exit", "close"])
def test_a_writer_that_waits_is_told_of_the_end(client, job, fifo, how):
    go, never = fifo(), fifo()
    after = {"kill": "", "exit": "", "close": f"exec 0<&-; read -r _ < {never}"}[how]
    client.run(job, f"read -r _ < {go}; {after}", stdin=True)
    offset = full(client, job)
    ask(client, 1001, job, b"waits")
    ask(client, 1002, job, bytes(MAX_INPUT_BYTES))
    client.sync()
    if how == "kill":
        client.kill(job, grace_s=0)
    else:
        go.go()
    for number in (1001, 1002):
        reply = client.expect("reply", request_id=number)
        assert not reply["ok"]
        assert reply["why"] in ("closed", "ended")
        assert reply["offset"] == offset
    if how == "close":
        never.go()
    finished(client, job)
    assert sent(client, job, b"x", offset=offset)["why"] == "ended"


def test_what_was_accepted_goes_in_though_its_sender_is_gone(plain_supervisor, fifo):
    go = fifo()
    worker = plain_supervisor.connect()
    worker.run("job", f"read -r _ < {go}; cat | tail -c 5", stdin=True)
    offset = full(worker, "job")
    other = plain_supervisor.connect()
    ask(other, 1001, "job", b"x" * 1000 + b"tail\n", offset=offset, end=True)
    other.sync()
    other.close()
    reply = sent(worker, "job", b"again", offset=offset)
    assert (reply["why"], reply["offset"]) == ("offset", offset + 1005)
    go.go()
    assert finished(worker, "job") == b"tail\n"


def test_an_input_goes_on_after_upgrades(plain_supervisor, fifo):
    """Pieces are sent again to each image; what was accepted by an earlier one is there once."""
    go = fifo()
    client = plain_supervisor.connect()
    client.run("job", f"read -r _ < {go}; cat | sha256sum", stdin=True)
    client.event("job", "started")
    content = random.Random(7).randbytes(5 * PIPE_BYTES)
    sent(client, "job", content[:PIPE_BYTES])
    for n in range(1, 5):
        piece = content[n * PIPE_BYTES :][:PIPE_BYTES]
        ask(client, 1000 + n, "job", piece, offset=n * PIPE_BYTES, end=n == 4)
        client.sync()
        assert client.request("upgrade")["ok"]
        assert client.hung_up()
        client = plain_supervisor.connect()
        if n == 1:
            assert sent(client, "job")["offset"] == 2 * PIPE_BYTES  # it waits in the supervisor
            go.go()
        reply = sent(client, "job", piece, offset=n * PIPE_BYTES, end=n == 4)
        # Accepted before the upgrade, or now; the last one, too, by a job that is over.
        assert reply["ok"] or reply["why"] == ("offset" if n < 4 else reply["why"])
        assert reply["offset"] == (n + 1) * PIPE_BYTES
    events = client.expect("adopt", job="job")["events"]
    if events[-1]["name"] != "finished":
        client.event("job", "finished")
    assert client.output("job").split()[0].decode() == hashlib.sha256(content).hexdigest()


def test_input_is_open_for_as_long_as_the_job_and_no_longer(plain_supervisor, fifo):
    """A job without input has no more descriptors than before."""
    pid, ready, go = plain_supervisor.process.pid, fifo(), fifo()

    def descriptors():
        return len(os.listdir(f"/proc/{pid}/fd"))

    client = plain_supervisor.connect()
    before, counts = descriptors(), {}
    for job, keys in (("without", {}), ("with", {"stdin": True})):
        client.run(job, f"echo > {ready}; read -r _ < {go}", **keys)
        ready.line()
        client.sync()
        counts[job] = descriptors() - before
        go.go()
        client.event(job, "finished")
        client.sync()
    assert counts["with"] == counts["without"] + 1
    assert descriptors() == before


def test_another_user_may_open_its_input_by_name(plain_supervisor):
    client = plain_supervisor.connect()
    assert client.claim("job")
    line = "id -u; exec < /dev/stdin; cat"
    client.start(
        "job", line, stdin=True, cwd="/", create_cwd=False, run_as={"uid": 65534, "gid": 65534}
    )
    client.event("job", "started")
    sent(client, "job", b"said", end=True)
    client.event("job", "finished")
    assert client.output("job") == b"65534\nsaid"


def test_a_program_may_have_a_file_besides(plain_supervisor):
    client = plain_supervisor.connect()
    assert client.claim("job")
    argv = ["/bin/cat", "FILE", "-"]
    client.start("job", "", argv=argv, stdin=True, input="of the service\n", input_index=1)
    client.event("job", "started")
    sent(client, "job", b"of the job\n", end=True)
    client.event("job", "finished")
    assert client.output("job") == b"of the service\nof the job\n"


def test_a_stopped_reader_stops_the_writer_alone(plain_supervisor, fifo):
    ready = fifo()
    client = plain_supervisor.connect()
    client.run("job", f"echo $$ > {ready}; exec cat > /dev/null", stdin=True)
    (pid,) = ready.pids(1)
    pid.stop()
    offset = sent(client, "job", bytes(PIPE_BYTES))["offset"]
    ask(client, 1001, "job", b"x", offset=offset, end=True)
    assert not [m for m in client.sync() if m.get("request_id") == 1001]
    pid.go_on()
    assert client.expect("reply", request_id=1001)["ok"]
    client.event("job", "finished")
