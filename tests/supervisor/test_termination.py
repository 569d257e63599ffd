"""A job that signals its parent ends itself at most: the supervisor, and with it all jobs, go on."""

import os
import signal
import subprocess

import pytest

SENDERS = {
    "the command": "kill -{name} $PPID",
    "a child of it": "(kill -{name} $PPID)",
    "a program": "/bin/kill -{name} $PPID",
    "a program that has ended since": "/bin/kill -{name} $PPID; /bin/true; /bin/true",
    "an orphan in a session of its own": 'p=$PPID; (env -i setsid bash -c "kill -{name} $p" &)',
    "the command's last act": "exec /bin/kill -{name} $PPID",
}


@pytest.mark.parametrize("line", SENDERS.values(), ids=SENDERS)
def test_a_job_that_sends_term_to_its_parent_ends_no_other_job(client, job, fifo, line):
    ready, go = fifo(), fifo()
    client.run(f"{job}-other", f"echo $$ > {ready}; read < {go}; exit 7")
    (other,) = ready.pids(1)
    client.run(job, line.format(name="TERM"))
    assert client.event(job, "finished")["outcome"] == "exited"
    client.sync()  # it has read what was sent
    assert not other.is_gone
    go.go()
    assert client.event(f"{job}-other", "ended")["status"] == 7


@pytest.mark.parametrize("name", ["INT", "HUP", "QUIT", "USR1", "ALRM", "TSTP"])
def test_neither_does_another_signal_that_can_be_caught(client, job, name):
    client.run(job, SENDERS["a program"].format(name=name))
    assert client.event(job, "finished")["outcome"] == "exited"
    client.sync()


def test_anybody_elses_term_ends_it_while_there_are_jobs(start_supervisor, fifo):
    supervisor = start_supervisor()
    client = supervisor.connect()
    ready = fifo()
    client.run("a", f"echo $$ > {ready}; exec sleep 1000")
    (process,) = ready.pids(1)
    client.run("b", "kill $PPID")
    client.event("b", "finished")
    os.kill(supervisor.pid, signal.SIGTERM)
    assert client.event("a", "finished")["kill"]["reason"] == "shutdown"
    assert process.is_gone
    assert "term_ignored" in supervisor.log
    for name in ("a", "b"):
        client.send("release", job=name)
    assert supervisor.process.wait(300) == 0


def test_a_sender_that_is_gone_is_believed_once_there_are_no_jobs(start_supervisor):
    supervisor = start_supervisor()
    supervisor.connect(role=None)  # it serves
    subprocess.run(["/bin/kill", str(supervisor.pid)], check=True)
    assert supervisor.process.wait(300) == 0


def test_a_command_blocks_no_signal_and_its_term_is_the_default(client, job):
    client.run(job, "exec grep -E '^Sig(Blk|Ign)' /proc/self/status")
    client.event(job, "finished")
    assert client.output(job).split() == [b"SigBlk:", b"0" * 16, b"SigIgn:", b"0" * 16]
