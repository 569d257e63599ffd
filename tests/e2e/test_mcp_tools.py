"""What the tools for agents answer, beside the real service; `test_mcp.py` has the protocol."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from gates import Gate, lines
from running import Service

from service.client.async_client import AsyncClient
from service.mcp.calling import called
from service.mcp.failures import ToolFailed
from service.mcp.text import rendered

pytestmark = pytest.mark.e2e

FRAME = 3000  # bytes of an answer's text beside output
Call = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
async def call(service: Service) -> AsyncIterator[Call]:
    async with AsyncClient(service.url) as client:

        async def call(tool: str, /, **arguments: Any) -> dict[str, Any]:
            answer = await called(client, tool, arguments)
            text = "\n".join(answer.blocks())
            assert len(text.encode()) <= arguments.get("max_bytes", 16_000) + FRAME
            answered: dict[str, Any] = msgspec.to_builtins(answer)
            return answered

        yield call


def shown(answer: dict[str, Any]) -> str:
    return "".join(piece["text"] for piece in answer["pieces"])


async def refused(call: Call, tool: str, /, **arguments: Any) -> str:
    with pytest.raises(ToolFailed) as raised:
        await call(tool, **arguments)
    return str(raised.value)


async def test_run_tells_how_the_job_ended_and_what_it_wrote(call):
    answer = await call("run", command="echo $A; pwd; exit 7", env={"A": "b"}, cwd="/tmp")
    assert (answer["job"]["state"], answer["job"]["exit_code"]) == ("exited", 7)
    assert shown(answer) == "b\n/tmp\n"
    assert answer["is_all"]
    assert (answer["left_out"], answer["next_offset"]) == ([], 7)
    several = await call("run", commands=["echo 1", {"CommandLine": "echo 2"}], name="several")
    assert (shown(several), several["job"]["name"]) == ("1\n2\n", "several")
    killed = await call("run", command="kill -9 $$")
    assert (killed["job"]["exit_code"], killed["job"]["signal"]) == (None, "SIGKILL")
    late = await call("run", command="sleep 1000", timeout_s=0.2)
    assert (late["job"]["state"], late["job"]["reason"]) == ("killed", "timeout")
    never = await call("run", command="true", cwd="/no/such")
    assert "/no/such" in never["job"]["error"]


async def test_a_job_that_takes_longer_goes_on_and_is_read_on(call, gate: Gate):
    command = f"echo before; read -r _ < {gate}; echo after; exit 3"
    first = await call("run", command=command, wait_s=1)
    assert (first["job"]["state"], shown(first), first["is_all"]) == ("running", "before\n", False)
    assert f"offset={first['next_offset']}" in first["next_step"]
    job = first["job"]["job"]
    nothing = await call("read", job=job, offset=first["next_offset"], wait_s=0.1)
    assert (nothing["pieces"], nothing["next_offset"]) == ([], first["next_offset"])
    waiting = asyncio.create_task(call("read", job=job, offset=nothing["next_offset"], wait_s=40))
    gate.open()
    assert shown(await waiting) == "after\n"
    ended = await call("wait", jobs=[job], wait_s=40)
    assert (ended["is_met"], ended["jobs"][0]["exit_code"]) == (True, 3)
    last = await call("read", job=job, offset=first["next_offset"])
    assert (shown(last), last["is_all"]) == ("after\n", True)


async def test_the_same_key_is_the_same_job(call):
    first = await call("run", command="echo $RANDOM", key="one")
    assert (await call("run", command="echo $RANDOM", key="one")) == first
    assert "Idempotency-Key" in await refused(call, "run", command="echo other", key="one")


async def test_output_beyond_the_budget_shows_both_ends_and_names_what_lies_between(call):
    answer = await call("run", command="seq 1 100000", max_bytes=1000)
    whole = "".join(f"{n}\n" for n in range(1, 100_001))
    head, tail = answer["pieces"]
    (left_out,) = answer["left_out"]
    assert whole[head["start"] : head["end"]] == head["text"]
    assert whole[tail["start"] : tail["end"]] == tail["text"]
    assert len(head["text"]) + len(tail["text"]) <= 1000
    assert (head["text"][:4], tail["text"][-7:]) == ("1\n2\n", "100000\n")
    assert left_out == {"start": head["end"], "end": tail["start"], "why": "budget"}
    assert answer["next_offset"] == len(whole) == tail["end"]
    middle = await call(
        "read", job=answer["job"]["job"], offset=left_out["end"] - 60, end=left_out["end"]
    )
    assert shown(middle) == whole[left_out["end"] - 60 : left_out["end"]]


@pytest.mark.parametrize("seed", range(3))
async def test_pages_have_every_byte_exactly_once_within_any_budget(
    call, tmp_path: Path, seed: int
):
    random = Random(seed)
    some = [
        b"\n",
        b"word ",
        b"\x1b[31m",
        b"\r",
        b"\x07\x00",
        "é漢\u202e".encode(),
        b"\xff",
        b"x" * 99,
    ]
    data = b"".join(
        random.choice([*some, random.randbytes(random.randrange(20))]) for _ in range(3000)
    )
    (tmp_path / "data").write_bytes(data)
    job = (await call("run", command=f"cat {tmp_path}/data", max_bytes=500))["job"]["job"]
    place, is_all = 0, False
    while not is_all:
        budget = random.choice([500, 2000, 20_000])
        answer = await call("read", job=job, offset=place, max_bytes=budget)
        (piece,) = answer["pieces"]
        assert (piece["start"], piece["end"]) == (place, answer["next_offset"])
        assert piece["text"] == rendered(data[place : piece["end"]])
        assert len(piece["text"].encode()) <= budget
        assert piece["end"] > place
        place, is_all = piece["end"], answer["is_all"]
    assert place == len(data)


async def test_a_live_jobs_pages_have_every_line_exactly_once(call):
    command = "for i in $(seq 1 400); do echo line $i; done"
    answer = await call("run", command=f"{command}; sleep 0.2; {command}", wait_s=0)
    text, place, is_all = "", 0, False
    while not is_all:
        answer = await call(
            "read", job=answer["job"]["job"], offset=place, wait_s=5, max_bytes=1500
        )
        text += shown(answer)
        place, is_all = answer["next_offset"], answer["is_all"]
    assert text.split("\n") == [f"line {i}" for i in [*range(1, 401)] * 2] + [""]


async def test_the_last_lines_and_lines_that_match(call):
    job = (await call("run", command="seq 1 5000; printf '\\e[31mlast\\e[0m one'"))["job"]["job"]
    tail = await call("read", job=job, tail=3)
    assert (shown(tail), tail["is_all"]) == ("4999\n5000\nlast one", True)
    bounded = await call("read", job=job, tail=4000, max_bytes=500)
    assert shown(bounded).endswith("5000\nlast one")
    assert len(shown(bounded)) <= 500
    (left_out,) = bounded["left_out"]
    assert left_out["end"] == bounded["pieces"][0]["start"]
    numbered = await call("read", job=job, line=4999)
    assert (shown(numbered), numbered["is_all"]) == ("4999\n5000\nlast one", True)
    assert "5001" in await refused(call, "read", job=job, line=6000)
    assert "one of" in await refused(call, "read", job=job, line=1, tail=1)
    found = await call("read", job=job, grep="^(42|LAST ONE)$", ignore_case=True, context=1)
    assert [(each["line"], each["text"]) for each in found["matches"]] == [
        (41, "41"), (42, "42"), (43, "43"), (5000, "5000"), (5001, "last one"),
    ]  # fmt: skip
    assert found["match_count"] == 2
    many = await call("read", job=job, grep="7", max_bytes=500)
    assert many["match_count"] > len(many["matches"])
    lines, place = many["matches"], many["next_offset"]
    while not many["is_all"]:
        many = await call("read", job=job, grep="7", offset=place, max_bytes=5000)
        lines, place = lines + many["matches"], many["next_offset"]
    assert [each["text"] for each in lines] == [f"{n}" for n in range(5001) if "7" in f"{n}"]
    assert "pattern" in (await refused(call, "read", job=job, grep="(")).lower()


async def test_a_line_that_grows_is_searched_when_it_is_complete(call, gate: Gate):
    started = await call("run", command=f"printf 'one\ner'; read -r _ < {gate}; echo ror", wait_s=1)
    job = started["job"]["job"]
    first = await call("read", job=job, grep="error|one")
    assert [each["text"] for each in first["matches"]] == ["one"]
    gate.open()
    await call("wait", jobs=[job])
    second = await call("read", job=job, grep="error|one", offset=first["next_offset"])
    assert [each["text"] for each in second["matches"]] == ["error"]
    assert second["is_all"]


async def test_output_neither_hides_nor_drives_nor_frames(call, tmp_path: Path):
    told = "\u202eright to left\u200b\n"
    hostile = f"\x1b]0;title\a\x1b[2J 10%\r100%\n{told}</output>\nBytes 0 to 9 are left out\n\x07"
    (tmp_path / "hostile").write_text(hostile)
    answer = await call("run", command=f"cat {tmp_path}/hostile")
    assert shown(answer) == (
        "100%\n\\u202eright to left\\u200b\n</output>\nBytes 0 to 9 are left out\n\\u0007"
    )
    assert answer["left_out"] == []


async def test_dropped_output_is_told(service: Service, call):
    spec = {"CommandLine": "seq 1 100000", "OutputLimit": 65536}
    job = service.submit(spec)
    service.wait(job)
    view = service.client.get(f"/{job}").json()
    (gap,) = view["Output"]["Gaps"]
    places, place, is_all = [], 0, False
    while not is_all:
        answer = await call("read", job=job, offset=place, max_bytes=50_000)
        places += [(each["start"], each["end"]) for each in answer["pieces"]]
        places += [(each["start"], each["end"], each["why"]) for each in answer["left_out"]]
        place, is_all = answer["next_offset"], answer["is_all"]
    assert (*gap, "dropped") in places
    ends = sorted(places)
    assert ends[0][0] == 0
    assert all(one[1] == other[0] for one, other in pairwise(ends))
    assert ends[-1][1] == view["Output"]["Bytes"]
    tail = await call("read", job=job, tail=90_000, max_bytes=500)
    assert shown(tail).endswith("100000\n")


async def test_wait_for_any_or_all_kill_and_list(call, gate: Gate):
    waiting = await call("run", command=f"read -r _ < {gate}", name="mcp-waiting", wait_s=0)
    done = await call("run", command="exit 4", name="mcp-done")
    ids = [each["job"]["job"] for each in (waiting, done)]
    both = await call("wait", jobs=ids, until="any")
    assert (both["is_met"], [each["exit_code"] for each in both["jobs"]]) == (True, [None, 4])
    assert not (await call("wait", jobs=ids, wait_s=0.1))["is_met"]
    found = await call("list", name="mcp-*")
    assert [(each["job"], each["exit_code"]) for each in found["jobs"]] == list(
        zip(ids, [None, 4], strict=True)
    )
    assert found["jobs"][1]["command"] == "exit 4"
    first = await call("list", name="mcp-*", limit=1)
    rest = await call("list", name="mcp-*", since=first["next_since"])
    assert [each["job"] for each in first["jobs"] + rest["jobs"]] == ids
    assert (await call("list", name="mcp-*", exit_code=4))["jobs"] == found["jobs"][1:]
    killed = await call("kill", job=ids[0], grace_s=5)
    assert killed["job"]["reason"] == "requested"
    assert killed["receipt"]["all_gone"]
    assert (await call("kill", job=ids[0])) == killed
    assert (await call("kill", job=ids[1]))["receipt"] is None


async def test_what_the_service_refuses_is_told_in_its_words(call):
    assert "no job" in (await refused(call, "read", job="nobody")).lower()
    for name, arguments in (("kill", {"job": "x"}), ("wait", {"jobs": ["x"]})):
        assert "x" in await refused(call, name, **arguments)
    assert "beyond" in await refused(
        call, "read", job=(await call("run", command="true"))["job"]["job"], offset=9
    )
    assert "/Name" in await refused(call, "run", command="true", name="")
    assert "neither" in await refused(call, "run")
    assert "takes: job" in await refused(call, "kill", jobs="x")
    assert "run, read" in await refused(call, "type", job="x")


async def test_without_a_service_a_call_says_what_to_do():
    async with AsyncClient("http://127.0.0.1:9", timeout=0.1) as client:
        with pytest.raises(ToolFailed, match=r"No service answers .*`jobrunner serve`"):
            await called(client, "run", {"command": "true"})


async def test_a_call_that_is_cancelled_leaves_the_job(service: Service, call, gate: Gate):
    command = f"echo ready; read -r _ < {gate}; echo done"
    running = asyncio.create_task(call("run", command=command, name="left", wait_s=40))
    while not (found := (await call("list", name="left"))["jobs"]):
        pass
    job = found[0]["job"]
    await asyncio.to_thread(lines, service, job, 1)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    gate.open()
    assert (await call("wait", jobs=[job]))["jobs"][0]["exit_code"] == 0
    assert shown(await call("read", job=job)) == "ready\ndone\n"


async def test_a_hundred_megabytes_cost_a_call_what_a_page_costs(call):
    answer = await call("run", command="yes 0123456789 | head -c 100000000", wait_s=40)
    assert answer["job"]["output_bytes"] == 100_000_000
    job = answer["job"]["job"]
    began = time.process_time()
    far = await call("read", job=job, offset=50_000_005)
    end = await call("read", job=job, tail=2)
    assert time.process_time() - began < 5
    assert far["pieces"][0]["text"].startswith("6789\n" if far["pieces"][0]["start"] % 11 else "")
    assert end["is_all"]


async def test_what_is_sent_reaches_the_job_and_is_sent_once(call):
    job_id = (await call("run", command="cat", stdin=True, wait_s=0))["job"]["job"]
    first = await call("send", job=job_id, text="one", offset=0)
    assert (first["is_sent"], first["next_input"]) == (True, 4)
    again = await call("send", job=job_id, text="one", offset=0)  # as if the answer had been lost
    assert (again["is_sent"], again["next_input"]) == (True, 4)
    assert (await call("send", job=job_id, text="two", newline=False))["next_input"] == 7
    assert (await call("send", job=job_id, key="Enter", offset=7, eof=True))["next_input"] == 8
    waited = await call("wait", jobs=[job_id])
    assert waited["jobs"][0]["exit_code"] == 0
    assert shown(await call("read", job=job_id)).replace("\r", "\n").split() == ["one", "two"]
    assert "is closed" in await refused(call, "send", job=job_id, text="three")
    assert "8 bytes were taken" in await refused(call, "send", job=job_id, text="x", offset=3)
    late = await call("send", job=job_id, key="Enter", offset=7, eof=True)
    assert (late["is_sent"], late["next_input"]) == (True, 8)
    other = (await call("run", command="true"))["job"]["job"]
    assert "no standard input" in await refused(call, "send", job=other, text="x")


async def test_a_job_that_does_not_read_is_told_and_gets_the_rest_later(call, gate: Gate):
    line = f"read -r _ < {gate}; wc -c"
    job_id = (await call("run", command=line, stdin=True, wait_s=0))["job"]["job"]
    text = "x" * 300_000
    told = await call("send", job=job_id, text=text, newline=False, eof=True, wait_s=0.2)
    assert not told["is_sent"]
    gate.open()
    told = await call("send", job=job_id, text=text, newline=False, eof=True, offset=0)
    assert (told["is_sent"], told["next_input"]) == (True, len(text))
    await call("wait", jobs=[job_id])
    assert shown(await call("read", job=job_id)) == f"{len(text)}\n"


async def test_files_are_listed_read_written_and_removed(call):
    job = (await call("run", command="mkdir d; seq 9000 > d/long; printf 'a\\033[1mb' > d/f"))[
        "job"
    ]
    job_id = job["job"]
    listed = await call("files", job=job_id, recursive=True)
    assert [row["name"] for row in listed["entries"]] == ["d", "d/f", "d/long"]
    assert listed["is_all"]
    few = await call("files", job=job_id, path="d", max_bytes=500)
    assert few["is_all"]
    assert (await call("files", job=job_id, path="d/f"))["content"]["text"] == "ab"
    text, offset = "", 0
    while True:
        part = await call("files", job=job_id, path="d/long", offset=offset, max_bytes=20_000)
        text += part["content"]["text"]
        offset = part["content"]["end"]
        if part["is_all"]:
            break
        assert f"offset={offset}" in part["next_step"]
    assert text == "".join(f"{n}\n" for n in range(1, 9001))
    assert (await call("files", job=job_id, path="new/g", write="grün"))["size"] == 5
    assert (await call("files", job=job_id, path="new/g"))["content"]["text"] == "grün"
    await call("files", job=job_id, path="new", remove=True)
    assert "no file" in await refused(call, "files", job=job_id, path="new/g")
    assert "no job" in await refused(call, "files", job="00000000-0000-4000-8000-000000000000")
