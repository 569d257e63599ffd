"""The files around the code say what is so: packaging, tools, CI and the systemd units."""

import configparser
import importlib.metadata
import importlib.util
import itertools
import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import service
from service.kinds.settings import declared_settings

ROOT = Path(__file__).parents[1]
PYPROJECT = ROOT / "pyproject.toml"
UNITS = sorted((ROOT / "deploy").glob("*.service"))
PREFIX = Path("/opt/jobrunner")  # where deploy/README.md installs to


def project() -> dict:
    return tomllib.loads(PYPROJECT.read_text())


def ini(text: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str
    parser.read_string(text)
    return parser


def unit_lines(unit: Path) -> Iterator[tuple[str, str, str]]:
    """(section, key, value) for each assignment: configparser would refuse a repeated key."""
    section = ""
    for line in unit.read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        if match := re.fullmatch(r"\[(\w+)]", line):
            section = match[1]
            continue
        key, equals, value = line.partition("=")
        assert equals, f"{unit.name}: {line!r} is no assignment"
        yield section, key, value


def values_of(unit: Path, key: str) -> list[str]:
    return [value for _, name, value in unit_lines(unit) if name == key]


# ---------------------------------------------------------------------------------------- tests


def test_what_starts_services_is_marked():
    """What isn't counts as quick, and every environment would run it."""
    modules = list((ROOT / "tests" / "e2e").glob("test_*.py"))
    assert len(modules) > 30
    marks = ("pytest.mark.e2e", "pytestmark = IN_A_BROWSER", "pytestmark = [*IN_A_BROWSER")
    assert [m.name for m in modules if not any(mark in m.read_text() for mark in marks)] == []


# ------------------------------------------------------------------------------------ packaging


def test_the_package_under_test_is_the_installed_one():
    files = importlib.metadata.files("jobrunner") or []
    packaged = [file for file in files if file.as_posix() == "service/__init__.py"]
    if not packaged:
        pytest.skip("an editable installation")
    assert Path(service.__file__).samefile(packaged[0].locate())


def test_installed_version_is_that_of_the_package():
    assert importlib.metadata.version("jobrunner") == service.__version__


def test_console_scripts_name_functions():
    for target in project()["project"]["scripts"].values():
        module, _, function = target.partition(":")
        assert callable(getattr(importlib.import_module(module), function))


# ---------------------------------------------------------------------------------------- tools


def test_each_python_that_the_package_claims_is_tested_and_looked_for_in_ci():
    claimed = {
        found[1]
        for line in project()["project"]["classifiers"]
        if (found := re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", line))
    }
    environments = ini((ROOT / "tox.ini").read_text())["tox"]["env_list"].split()
    tested = {name.partition("-")[0] for name in environments}
    assert {f"py{version.replace('.', '')}" for version in claimed} <= tested
    loop = re.search(r"for minor in (.+); do", (ROOT / ".ci/run").read_text())
    assert set(loop[1].split()) == claimed


def test_each_ignored_rule_has_its_reason_beside_it():
    _, _, lint = PYPROJECT.read_text().partition("[tool.ruff.lint]\n")
    lint, _, _ = lint.partition("[tool.importlinter]")
    ignored = re.findall(r'^ +"([A-Z]+\d*)",(.*)$', lint, re.MULTILINE)
    config = project()["tool"]["ruff"]["lint"]
    everywhere = list(itertools.chain(config["ignore"], *config["per-file-ignores"].values()))
    assert sorted(code for code, _ in ignored) == sorted(everywhere)
    assert not [code for code, rest in ignored if not re.fullmatch(r"\s+# \S.*", rest)]


def test_each_check_that_bandit_skips_has_its_reason_beside_it():
    _, _, bandit = PYPROJECT.read_text().partition("[tool.bandit]\n")
    skipped = dict(re.findall(r'^ +"(B\d+)",(.*)$', bandit, re.MULTILINE))
    assert list(skipped) == project()["tool"]["bandit"]["skips"]
    assert not [code for code, rest in skipped.items() if not re.fullmatch(r"\s+# \S.*", rest)]


def test_tests_with_a_service_stand_where_tox_looks_for_them():
    tox = ini((ROOT / "tox.ini").read_text())
    places = [ROOT / place for place in tox["testenv"]["with_service"].split()]
    e2e = ROOT / "tests/e2e"  # which `coverage-quick` leaves out
    assert e2e in places
    for path in (ROOT / "tests").rglob("test_*.py"):
        text = path.read_text()
        has_service = re.search(
            r"pytest\.mark\.e2e\b|^pytestmark = .*\bIN_A_BROWSER\b", text, re.MULTILINE
        )
        is_there = any(path.is_relative_to(place) for place in places)
        assert is_there or not has_service or path == Path(__file__), path
        is_marked = re.search(
            r"^pytestmark = (?:\[\s*)?(?:pytest\.mark\.e2e|\*?IN_A_BROWSER)\b", text, re.MULTILINE
        )
        assert is_marked or not path.is_relative_to(e2e), path


def test_hooks_run_environments_that_tox_has():
    tox = ini((ROOT / "tox.ini").read_text())
    hooks = re.findall(r"entry: (.+)", (ROOT / ".pre-commit-config.yaml").read_text())
    assert hooks
    for hook in hooks:
        *_, environment = shlex.split(hook)
        assert f"testenv:{environment}" in tox


# ------------------------------------------------------------------------------------------- CI


def shown_by_ci(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [root / ".ci/run", "--show"], capture_output=True, text=True, check=False, timeout=300
    )


def test_ci_runs_the_one_test_command_of_the_readme():
    shown = shown_by_ci(ROOT)
    assert shown.returncode == 0, shown.stderr
    (command,) = shown.stdout.splitlines()
    assert command.endswith("tox")
    assert command in (ROOT / "README.md").read_text().splitlines()


@pytest.mark.parametrize(
    ("readme", "status"),
    [
        ("<!-- test-command -->\n```sh\nmake it so\n```\n```sh\nother\n```\n", 0),
        ("<!-- test-command -->\nwords between\n\n```sh\nmake it so\n```\n", 0),
        ("```sh\nmake it so\n```\n", 1),
        ("<!-- test-command -->\n```sh\n```\n", 1),
        ("<!-- test-command -->\n```sh\none\ntwo\n```\n", 1),
        ("<!-- test-command -->\n```sh\none\n```\n<!-- test-command -->\n```sh\ntwo\n```\n", 1),
    ],
    ids=["one", "one after words", "no marker", "empty", "two lines", "two blocks"],
)
def test_ci_refuses_a_readme_without_exactly_one_test_command(tmp_path, readme, status):
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci/run", tmp_path / ".ci/run")
    (tmp_path / "README.md").write_text(readme)
    shown = shown_by_ci(tmp_path)
    assert shown.returncode == status
    if status == 0:
        assert shown.stdout == "make it so\n"
    else:
        assert "exactly one command" in shown.stderr


# -------------------------------------------------------------------------------- systemd units


def test_there_is_a_unit_for_each_kind_of_process():
    assert [unit.name for unit in UNITS] == ["jobrunner-supervisor.service", "jobrunner.service"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_unit_starts_something_that_the_package_has(unit):
    (command,) = values_of(unit, "ExecStart")
    program, *arguments = shlex.split(command)
    assert Path(program).parent == PREFIX / "bin"
    if Path(program).name == "python":
        assert arguments[0] == "-m"
        assert importlib.util.find_spec(f"{arguments[1]}.__main__")
    else:
        assert Path(program).name in project()["project"]["scripts"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_unit_sets_only_settings_that_exist(unit):
    known = {setting.variable: setting for setting in declared_settings()}
    for assignment in values_of(unit, "Environment"):
        variable, _, value = assignment.partition("=")
        assert variable in known
        if variable != "JOBRUNNER_RUN_AS":  # a user that this box needn't have
            known[variable].read(value.replace("%S", "/var/lib"))


def test_units_agree_on_who_and_where():
    supervisor, web = UNITS
    for key in ("User", "StateDirectory", "StateDirectoryMode"):
        assert values_of(supervisor, key) == values_of(web, key) != []
    (command,) = values_of(supervisor, "ExecStart")
    assert f"JOBRUNNER_STATE_DIR={command.split()[-1]}" in values_of(web, "Environment")


def test_a_restart_of_the_web_unit_leaves_jobs_running():
    supervisor, web = UNITS
    assert "JOBRUNNER_SHUTDOWN=leave" in values_of(web, "Environment")
    assert values_of(web, "KillMode") == ["process"]
    assert values_of(web, "Requires") == [supervisor.name]
    assert supervisor.name in values_of(web, "After")[0].split()
    # Nothing in the supervisor's unit makes it follow the web unit down.
    assert not {"PartOf", "BindsTo", "Requires"} & {key for _, key, _ in unit_lines(supervisor)}


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze isn't installed")
def test_systemd_accepts_the_units(tmp_path):
    prefix = tmp_path / "prefix"
    (prefix / "bin").mkdir(parents=True)
    for program in ("python", "jobrunner"):
        (prefix / "bin" / program).symlink_to("/bin/true")
    copies = []
    for unit in UNITS:
        copy = tmp_path / unit.name
        copy.write_text(unit.read_text().replace(str(PREFIX), str(prefix)))
        copies.append(copy)
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *copies],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    ours = [line for line in verified.stderr.splitlines() if "jobrunner" in line]
    assert (verified.returncode, ours) == (0, [])
