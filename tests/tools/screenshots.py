"""Pictures of the page's views, light and dark, wide and narrow, to look at.

`python tests/tools/screenshots.py DIRECTORY` starts a service, runs some jobs and writes the pictures there. Two of them
stand in `service/ui/screenshots/`.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from chromium import launched, opened
from running import Service, running

_WIDE: Final = {"width": 1120, "height": 560}
_NARROW: Final = {"width": 360, "height": 720}


def jobs(service: Service) -> list[str]:
    """What a list may have; those that live."""
    run, submit = service.run, service.submit
    for day in (12, 11, 10):
        run({"CommandLine": f"seq {day}0000", "Name": "nightly", "Labels": {"team": "db"}})
    run({"CommandLine": "make dist", "Name": "dist", "Labels": {"branch": "main"}})
    steps = [{"CommandLine": "true"}, {"CommandLine": "false"}, {"CommandLine": "make upload"}]
    run({"Commands": steps, "Name": "release", "Labels": {"v": "2.1"}})
    run({"CommandLine": "sleep 1000", "Timeout": 1, "Name": "index", "Labels": {"team": "search"}})
    training = [{"CommandLine": "true"}, {"CommandLine": "sleep 1000"}, {"CommandLine": "true"}]
    return [
        submit({"Commands": training, "Name": "train", "Labels": {"gpu": "0", "run": "17"}}),
        submit({"CommandLine": "rsync -a /data remote:/backup", "Name": "backup", "Hold": True}),
    ]


def take(directory: Path) -> None:
    """All of them."""
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place, running(Path(place) / "jobrunner") as service:
        with launched() as browser:
            for scheme in ("light", "dark"):
                with opened(browser, service, color_scheme=scheme, viewport=_WIDE) as page:
                    page.goto(service.url)
                    page.get_by_role("heading", name="No jobs yet").wait_for()
                    page.screenshot(path=directory / f"empty-{scheme}.png")
            live = jobs(service)
            for scheme in ("light", "dark"):
                for size in (_WIDE, _NARROW):
                    with opened(browser, service, color_scheme=scheme, viewport=size) as page:
                        _views(page, service, directory, f"{size['width']}-{scheme}.png")
            for job_id in live:
                service.kill(job_id, wait="true")


def _views(page: Any, service: Service, directory: Path, name: str) -> None:
    page.goto(service.url)
    page.locator(".job").nth(5).wait_for()
    page.locator(".live.on").wait_for()
    page.screenshot(path=directory / f"list-{name}")
    page.get_by_role("button", name="Kill train").click()
    page.screenshot(path=directory / f"kill-{name}")
    page.goto(f"{service.url}/?state=all#new")
    page.get_by_text("More", exact=True).click()
    page.screenshot(path=directory / f"form-{name}")


if __name__ == "__main__":
    take(Path(sys.argv[1]))
