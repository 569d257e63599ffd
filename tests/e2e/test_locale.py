"""A service in a locale that isn't UTF-8: what callers send reaches the kernel as they sent it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from running import Service, running

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

# Python would use UTF-8 in the C locale by itself. Source: PEP 538, PEP 540.
PLAIN = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.fixture(scope="module", params=["C", "de_DE.ISO-8859-1"])
def abroad(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    place = tmp_path_factory.mktemp("abroad")
    environment = {**PLAIN, "LC_ALL": request.param}
    if request.param != "C":
        made = ["localedef", "-i", "de_DE", "-f", "ISO-8859-1", str(place / request.param)]
        if not shutil.which("localedef") or subprocess.run(made, check=False).returncode:
            pytest.skip("no locales can be made here")
        # Bash, which gets LC_ALL and not LOCPATH, may warn that it knows no such locale.
        environment["LOCPATH"] = str(place)
    with running(place / "zustand-ä", environment=environment, workers=2) as service:
        yield service


def test_commands_variables_and_directories_are_utf_8(abroad: Service) -> None:
    line = 'pwd; printf "%s\\n" "käse"; : > "日本.txt"; env | grep -a GR'
    job = {"CommandLine": line, "WorkingDir": "日本/ä", "Environment": {"GRÜSSE": "€ 日本"}}
    view = abroad.run(job)
    assert (view["ExitCode"], view["Error"]) == (0, None)
    directory = abroad.state_dir / "jobs" / view["ID"] / "work" / "日本" / "ä"
    assert view["WorkingDir"] == str(directory)
    assert [path.name for path in directory.iterdir()] == ["日本.txt"]
    printed = f"{directory}\nkäse\nGRÜSSE=€ 日本\n"
    assert abroad.output(view["ID"], stream="stdout").decode() == printed


def test_a_directory_that_there_is_is_found_by_its_name(abroad: Service, tmp_path: Path) -> None:
    place = tmp_path / "日本"
    place.mkdir()
    view = abroad.run({"CommandLine": "pwd", "WorkingDir": str(place)})
    assert abroad.output(view["ID"], stream="stdout").decode() == f"{place}\n"
    missing = abroad.run({"CommandLine": "true", "WorkingDir": str(place / "ö")})
    assert missing["Error"] == f"The working directory {str(place / 'ö')!r} does not exist."


def test_the_service_is_executed_again_with_the_arguments_that_it_had(abroad: Service) -> None:
    argv = Path(f"/proc/{abroad.process.pid}/cmdline").read_text().split("\0")
    assert argv[1:6] == ["-X", "utf8", "-m", "sanic", "service.app"]
