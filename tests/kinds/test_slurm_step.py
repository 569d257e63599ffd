"""What a step is told arrives byte for byte: here by the real shells, without Slurm in between."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.kinds.slurm.step import step

PRINTS = f"exec {sys.executable} -c 'import os, sys; sys.stdout.buffer.write(repr(sorted(os.environb.items())).encode())'"


# What a node's /bin/sh may be besides the one here.
SHELLS = {"its own": ["/bin/sh"], "bash": ["bash", "--posix"]}


@pytest.fixture(params=SHELLS)
def first(request: pytest.FixtureRequest) -> list[str]:
    """The shell that the step begins with."""
    return SHELLS[request.param]


def run(line, variables, directory, first=("/bin/sh",), **environment):
    ran = step(line, variables, str(directory))
    assert ran.argv[0] == "/bin/sh"
    env = {"PATH": os.defpath + ":/usr/bin:/bin", **environment, **ran.carriers}
    env = {os.fsencode(name): os.fsencode(value) for name, value in env.items()}
    argv = (*first, *ran.argv[1:])
    ended = subprocess.run(argv, env=env, capture_output=True, check=False, timeout=300)
    assert ended.stderr == b""
    return ended


def environment_of(variables, directory, first=("/bin/sh",), **environment):
    ended = run(PRINTS, variables, directory, first, **environment)
    assert ended.returncode == 0
    return dict(eval(ended.stdout))  # noqa: S307 - what the program above has written


VALUES = {
    "PLAIN": "a",
    "EMPTY": "",
    "NEWLINES": "\n a\n\nb\n\n",
    "QUOTES": "'\"$HOME`date`\\ !*?[a]",
    "BYTES": os.fsdecode(bytes(range(1, 256)) * 2),
    "bytes.by.env": os.fsdecode(bytes(range(255, 0, -1))),
    "PATH": "/nowhere",
    "TEXT": "ü€😀" * 10,
    "with.dots": "1",
    "with blanks": "2",
    "-dash": "3",
    "9digit": "4",
    "ü": "5",
    "a'b\"c$d": "6",
    "JOBRUNNER_STEP_3": "7",
    "BASH_ENV_OF_MINE": "8",
    "LC_ALL": "C",
    "LD_LIBRARY_PATH": "/nowhere",
    "SLURM_CONF": "/own",
    "BASH_FUNC_f%%": "() { :; }",
}


def test_each_variable_arrives_as_it_is(tmp_path: Path, first: list[str]):
    found = environment_of(VALUES, tmp_path, first, SLURM_PROCID="0", JOBRUNNER_STATE="ours")
    for name, value in VALUES.items():
        if name != "BASH_FUNC_f%%":  # bash writes functions in a form of its own
            assert found[os.fsencode(name)] == os.fsencode(value), name
    assert found[b"SLURM_PROCID"] == b"0"
    others = [name for name in found if name.startswith(b"JOBRUNNER_ST")]
    assert others == [b"JOBRUNNER_STEP_3"]


def test_a_variable_of_bash_is_as_bash_itself_would_have_it(tmp_path: Path, first: list[str]):
    odd = {
        "RANDOM": "5",
        "SECONDS": "100",
        "SHLVL": "7",
        "UID": "4",
        "SHELLOPTS": "braceexpand",
    } | {"IFS": "a0 "}
    found = environment_of(odd, tmp_path, first)
    bare = subprocess.run(
        ["bash", "-c", PRINTS],
        env={"PATH": "/usr/bin:/bin", **odd},
        capture_output=True,
        check=True,
    )
    expected = dict(eval(bare.stdout))  # noqa: S307 - the same
    for name in (b"SHLVL", b"UID", b"SHELLOPTS", b"IFS"):
        assert found.get(name) == expected.get(name), name


def test_half_a_megabyte_of_variables_arrives(tmp_path: Path):
    variables = {f"V{n}": f"'\n{n}" * 25_000 for n in range(6)} | {
        f"N{n}": "x" for n in range(2000)
    }
    variables["LONG"] = "y" * 131_000
    assert sum(map(len, variables.values())) > 500_000
    found = environment_of(variables, tmp_path)
    for name, value in variables.items():
        assert found[name.encode()] == value.encode()


@pytest.mark.parametrize("size", [100, 131_000, 131_072, 400_000, 1_000_000])
def test_a_command_line_of_any_length_runs_as_it_is(tmp_path: Path, first: list[str], size: int):
    line = (
        "echo $LINENO $0 $#; x='"
        + "ü" * (size // 2)
        + "'\necho ${#x} $LINENO; cat <<E\n$A'\nE\nenv"
    )
    ended = run(line, {"A": "a", "LANG": "C.UTF-8"}, tmp_path, first)
    first, second, third, *env = ended.stdout.decode().splitlines()
    assert (first[:2], first[-6:]) == ("1 ", "bash 0")
    assert (second, third) == (f"{size // 2} 2", "a'")
    assert not [each for each in env if each.startswith("JOBRUNNER_STEP")]


def test_it_runs_in_the_directory_or_not_at_all(tmp_path: Path):
    odd = tmp_path / " -odd'\n\"$HOME"
    odd.mkdir()
    assert run("pwd", {}, odd).stdout == f"{odd}\n".encode()
    ran = step("echo never", {}, str(tmp_path / "missing"))
    ended = subprocess.run(
        ran.argv,
        env={"PATH": "/usr/bin:/bin", **ran.carriers},
        capture_output=True,
        check=False,
        timeout=300,
    )
    assert (ended.returncode, ended.stdout) == (125, b"")
    assert b"isn't there on the node" in ended.stderr


def test_the_shell_is_found_though_the_command_has_another_path(tmp_path: Path):
    assert run("echo $PATH", {"PATH": "/nowhere"}, tmp_path).stdout == b"/nowhere\n"


def test_the_limits_of_each_process_are_set_where_it_runs(tmp_path: Path):
    limits = {"open_files": 50, "file_size": 3000, "memory": 1}
    ran = step("ulimit -n; ulimit -f", {}, str(tmp_path), limits)
    env = {"PATH": "/usr/bin:/bin", **ran.carriers}
    assert subprocess.check_output(ran.argv, env=env) == b"50\n3\n"
