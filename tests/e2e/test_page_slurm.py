"""Commands on a cluster in the page: asked for in the form, and told of while they wait and run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from chromium import IN_A_BROWSER, axe_findings, driver, opened, too_wide
from containers import job
from gates import attached
from running import Service, running
from slurm import PROCESSORS, Cluster, slurm

expect = driver().expect
pytestmark = [*IN_A_BROWSER, pytest.mark.slurm]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster) -> Iterator[Service]:
    state_dir = tmp_path_factory.mktemp("state") / "jobrunner"
    with running(state_dir, environment=cluster.environment) as service:
        yield service


def test_what_the_form_asks_of_the_cluster_gets_there(browser: Any, service: Service) -> None:
    with opened(browser, service) as page:
        page.goto(f"{service.url}/#new")
        page.get_by_label("Runs in").select_option("slurm")
        page.get_by_label("Partition").fill("one")
        page.get_by_label("Command line").fill("echo $SLURM_JOB_PARTITION")
        page.get_by_text("More of this command").click()
        page.get_by_label("Time limit").fill("2m")
        page.get_by_label("Memory on each node").fill("200M")
        assert too_wide(page) == []
        assert axe_findings(page) == []
        page.get_by_role("button", name="Run", exact=True).click()
        page.wait_for_url(re.compile(r"/[0-9a-f-]{36}$"))
        view = service.wait(page.url.rpartition("/")[2])
    command = view["Commands"][0]
    assert (command["ExitCode"], service.output(view["ID"])) == (0, b"one\n")
    asked = {key: value for key, value in command["Slurm"].items() if value}
    assert asked == {"Partition": "one", "Time": 120, "Memory": 200 << 20}


def test_a_command_that_waits_says_why_and_one_that_runs_says_where(
    browser: Any, service: Service
) -> None:
    first = service.submit(job(slurm("echo ready; sleep 1000"), Grace=0))
    with attached(service, first, stream="stdout") as output:
        assert next(output) == "ready"
    waiting = service.submit(job(slurm("echo ran", Tasks=PROCESSORS), Grace=0))
    with opened(browser, service) as page:
        page.goto(f"{service.url}/{waiting}#details")
        expect(page.get_by_text("waits in Slurm: ").first).to_be_visible()
        service.kill(first, wait="true")
        expect(page.get_by_text("exit 0").first).to_be_visible()
        expect(page.get_by_text(re.compile("of Slurm")).first).to_be_visible()
    assert service.wait(waiting)["ExitCode"] == 0
