"""Pictures of the page's views, light and dark, wide and narrow, to look at.

`python tests/tools/screenshots.py DIRECTORY` starts two services, runs some jobs and writes the pictures there. Some of
them stand in `service/ui/screenshots/`.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from chromium import launched, opened
from gates import lines as seen
from running import Service, running

from service.access import tokens
from service.access.scopes import Scope

SIZES: Final = {
    "wide": {"width": 1120, "height": 640},
    "narrow": {"width": 360, "height": 720},
}
SCHEMES: Final = ("light", "dark")
VIEWS: Final = (
    "empty", "list", "kill", "form", "job", "details", "files", "terminal", "error", "login",
)  # fmt: skip
# What the browser itself says of an answer that isn't 2xx.
_REFUSED: Final = ("Failed to load resource",)
_UNKNOWN: Final = "00000000-0000-4000-8000-000000000000"
# Programs that print what a build may print.
_BUILD: Final = r"""#!/bin/bash
printf '\033[1mConfiguring\033[0m for x86_64-linux\n'
for name in alloc arena buffer cursor digest events frames gate; do
  printf '\033[36m[%s]\033[0m cc -O2 -c %s.c \033[2m(%d ms)\033[0m\n' "$name" "$name" $((RANDOM % 90 + 10))
done
printf '\033[33mwarning:\033[0m frames.c:112: unused variable \033[1m`last`\033[0m\n' >&2
for part in 10 35 60 85 100; do printf 'linking %d %%\r' $part; done; echo
"""
_TESTS: Final = r"""#!/bin/bash
for n in $(seq 1 400); do printf '\033[32mok\033[0m %d - test %d of the suite\n' $n $n; done
mkdir -p reports; seq 1 4000 > reports/timings.csv; echo '{}' > reports/summary.json; echo 1.4.0 > version
printf '\033[31mnot ok\033[0m 401 - test 401 of the suite\n'
exit 1
"""


def jobs(service: Service, programs: Path) -> dict[str, str]:
    """What a list may have: the IDs of those that live and of one that has ended, by name."""
    run, submit = service.run, service.submit
    programs.mkdir()
    for name, text in (("build", _BUILD), ("run-tests", _TESTS)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    path = {"Environment": {"PATH": f"{programs}:/usr/bin:/bin"}}
    for day in (12, 11, 10):
        run({"CommandLine": f"seq {day}0000", "Name": "nightly", "Labels": {"team": "db"}})
    run({"CommandLine": "make dist", "Name": "dist", "Labels": {"branch": "main"}})
    lines = ("build --release", "run-tests --all", "make upload")
    steps = [{"CommandLine": line} for line in lines]
    labels = {"branch": "main", "v": "2.1"}
    build = run({"Commands": steps, "Name": "release", "Labels": labels} | path)
    run({"CommandLine": "sleep 1000", "Timeout": 1, "Name": "index", "Labels": {"team": "search"}})
    training = [{"CommandLine": "true"}, {"CommandLine": "sleep 1000"}, {"CommandLine": "true"}]
    labels = {"gpu": "0", "run": "17"}
    typed = {"CommandLine": "build; exec env PS1='build$ ' bash --norc", "TTY": {}, "Name": "shell"}
    return {
        "train": submit({"Commands": training, "Name": "train", "Labels": labels}),
        "backup": submit({"CommandLine": "rsync -a /data host:/b", "Name": "backup", "Hold": True}),
        "shell": submit(typed | path),
        "build": build["ID"],
    }


def take(directory: Path) -> None:
    """All of them: `VIEW-SIZE-SCHEME.png`."""
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place, launched() as browser:
        with running(Path(place) / "jobrunner") as service:
            each_way(browser, service, _empty, directory)
            found = jobs(service, Path(place) / "programs")
            assert seen(service, found["shell"], 10)
            each_way(browser, service, lambda page, name: _views(page, service, found, name), directory)  # fmt: skip
            for name in ("train", "backup", "shell"):
                service.kill(found[name], wait="true")
        with running(Path(place) / "closed") as service:
            tokens.create(service.state_dir, "somebody", [Scope.ADMIN])
            each_way(browser, service, _login, directory)


def each_way(browser: Any, service: Service, views: Any, directory: Path) -> None:
    """`views(page, name)` of a page light and dark, wide and narrow; `name(view)` says where a picture goes."""
    for scheme in SCHEMES:
        for size, viewport in SIZES.items():
            with opened(browser, service, expected=_REFUSED, color_scheme=scheme, viewport=viewport) as page:  # fmt: skip
                page.goto(service.url)
                views(page, lambda view: directory / f"{view}-{size}-{scheme}.png")  # noqa: B023 - called at once


def _empty(page: Any, name: Any) -> None:
    page.get_by_role("heading", name="No jobs yet").wait_for()
    page.screenshot(path=name("empty"))


def _login(page: Any, name: Any) -> None:
    page.get_by_label("Token").wait_for()
    page.screenshot(path=name("login"))


def _views(page: Any, service: Service, found: dict[str, str], name: Any) -> None:
    page.locator(".job").nth(5).wait_for()
    page.locator(".live.on").wait_for()
    page.locator(".filter.killed .count").filter(has_text="1").wait_for()
    page.screenshot(path=name("list"))
    page.get_by_role("button", name="Kill train").click()
    page.screenshot(path=name("kill"))
    page.goto(f"{service.url}/?state=all#new")
    page.get_by_text("More", exact=True).click()
    page.screenshot(path=name("form"))
    page.goto(f"{service.url}/{found['build']}#L388")
    page.locator(".log-row").filter(has_text="test 380").first.wait_for()
    page.screenshot(path=name("job"))
    page.goto(f"{service.url}/{found['train']}#details")
    page.locator(".usage canvas").wait_for()
    page.screenshot(path=name("details"))
    page.goto(f"{service.url}/{found['build']}#files")
    page.locator(".job-files td.name").nth(1).wait_for()
    page.screenshot(path=name("files"))
    page.goto(f"{service.url}/{found['shell']}")
    page.locator(".xterm-rows").filter(has_text="build$").wait_for()
    page.screenshot(path=name("terminal"))
    page.goto(f"{service.url}/{_UNKNOWN}")
    page.get_by_role("heading").first.wait_for()
    page.screenshot(path=name("error"))


if __name__ == "__main__":
    take(Path(sys.argv[1]))
