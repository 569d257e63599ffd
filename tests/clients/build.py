"""A program as a user of the client writes it: type-checked, and run, by the tests."""

from __future__ import annotations

import asyncio
import sys

import jobrunner


def build(client: jobrunner.Client) -> int:
    job = client.submit(
        {
            "Name": "build",
            "Labels": {"team": "build"},
            "Commands": [{"CommandLine": "echo compiling"}, {"CommandLine": "echo warning >&2"}],
        },
        key="build-1742",
    )
    for record in job.records(lines=True):
        if isinstance(record, jobrunner.Gap):
            print(f"{record.end - record.start} bytes are missing")
        else:
            print(f"{record.stream}: {record.text}")
    view = job.wait(timeout=60)
    print(view.state, view.exit_code, view.output.bytes)
    return view.exit_code if view.exit_code is not None else 1


def failures(client: jobrunner.Client) -> list[str]:
    try:
        client.run("echo no such target >&2; exit 2", check=True)
    except jobrunner.CommandFailed as failed:
        return failed.result.stderr.text.splitlines()
    return []


def again(client: jobrunner.Client) -> list[str]:
    job = client.submit({"CommandLine": "seq 20"}).rerun({"Labels": {"run": "again"}})
    job.wait()
    selection: jobrunner.Selection = {"tail": 2, "since": "1h"}
    told = [line.text for line in job.lines(**selection)]
    found = [each for each in job.grep("^1.$", max=1) if isinstance(each, jobrunner.Match)]
    told += [f"line {match.line}: {match.text}" for match in found]
    followed = client.follow(state="all", label={"run": "again"}, follow=False)
    ends = [each.record for each in followed if isinstance(each.record, jobrunner.End)]
    return told + [f"exit code {end.exit_code}" for end in ends]


def clean(client: jobrunner.Client) -> int:
    count = 0
    for job in client.jobs(state=["exited", "killed"], label={"team": "build"}):
        assert job.view is not None
        count += job.view.output.bytes
        job.clean()
    return count


async def both(url: str) -> list[str]:
    async with jobrunner.AsyncClient(url) as client:
        results = await asyncio.gather(client.run("echo one"), client.run(["echo", "two"]))
        job = await client.submit({"CommandLine": "sleep 1000"})
        receipt = await job.kill(grace=0)
        assert receipt is not None
        async with job.lines() as lines:
            told = [line.text async for line in lines]
        return [result.stdout.text.strip() for result in results] + told + receipt.signals


def main(url: str) -> int:
    with jobrunner.Client(url) as client:
        status = build(client)
        print(failures(client))
        print(again(client))
        print(clean(client))
    print(asyncio.run(both(url)))
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
