"""Children that die together: all reaped, then each told of, whatever becomes of the one before.

The reaper takes every child of its process, so that is one of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

# Has children exit with the codes that its arguments are, and reaps them once all are dead. A
# negative one isn't dealt with well. What is told is printed, with whether a child is left then.
_PROGRAM = """
import asyncio, contextlib, json, os, sys
from service.supervisor.process.reaper import Reaper

told = []

def has_child():
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT | os.WNOHANG)
    except ChildProcessError:
        return False
    return True

def died(pid, status, used):
    told.append(["died", codes[pid], status, has_child()])
    if codes[pid] < 0:
        raise ValueError(codes[pid])

@contextlib.contextmanager
def together():
    told.append(["begin"])
    yield
    told.append(["end"])

async def main():
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, wrong: told.append(["wrong", *wrong["exception"].args]))
    batch = asyncio.Event()
    reaper = Reaper(
        loop,
        died,
        lambda: (told.append(["batch"]), batch.set()),
        before=lambda: told.append(["before"]),
        together=together,
    )
    for code in map(int, sys.argv[1:]):
        codes[os.posix_spawn("/bin/sh", ["sh", "-c", f"exit {abs(code)}"], {})] = code
    for pid in codes:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    if codes:
        await batch.wait()  # SIGCHLD has come
    else:
        reaper.reap()
    reaper.close()

codes = {}
asyncio.run(main())
print(json.dumps(told))
"""


def told_of(*codes: int) -> list[list[Any]]:
    argv = [sys.executable, "-c", _PROGRAM, *map(str, codes)]
    told: list[list[Any]] = json.loads(subprocess.check_output(argv))
    return told


def test_all_that_are_dead_are_reaped_before_the_first_is_told_of():
    told = told_of(0, 3, 7)
    assert told[:2] == [["before"], ["begin"]]
    assert sorted(told[2:5]) == [["died", code, code, False] for code in (0, 3, 7)]
    assert told[5:7] == [["end"], ["batch"]]


def test_the_others_are_told_of_when_one_goes_wrong():
    told = told_of(-1, 2, -3, 4)
    assert {call[1] for call in told if call[0] == "died"} == {-1, 2, -3, 4}
    assert sorted(call for call in told if call[0] == "wrong") == [["wrong", -3], ["wrong", -1]]
    assert ["batch"] in told


def test_without_a_death_nothing_is_told():
    assert told_of() == [["before"]]
