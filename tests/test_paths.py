"""The name of each file of the state directory stands in one place of the product."""

import ast
from collections import Counter
from pathlib import Path

import service
from service import paths
from service.files.job import JobFiles
from service.output.files import INDEX_NAME, OUTPUT_NAME
from service.paths import StateDir

ROOT = Path(service.__file__).parent
NAMES = {
    getattr(StateDir(Path("/s")), name).name
    for name, value in vars(StateDir).items()
    if isinstance(value, property)
} | {paths.SUPERVISOR_SOCKET}
OF_A_JOB = {Path(JobFiles("/j", "/l").work).name, OUTPUT_NAME, INDEX_NAME, "container-"}


def parts_of_paths(module: ast.AST):
    """Texts that a path is made of: after a `/`, and in an f-string after a slash."""
    for node in ast.walk(module):
        match node:
            case ast.BinOp(op=ast.Div(), right=ast.Constant(value=str(text))):
                yield text
            case ast.JoinedStr(values=values):
                for part in values:
                    if isinstance(part, ast.Constant) and part.value.startswith("/"):
                        yield part.value.removeprefix("/").partition("/")[0]


def texts(module: ast.AST):
    yield from (
        node.value
        for node in ast.walk(module)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def test_no_module_makes_a_path_of_a_name_that_stands_elsewhere():
    used = [
        (path.relative_to(ROOT).as_posix(), part)
        for path in ROOT.rglob("*.py")
        if path.parent.name not in {"client", "ui"}  # their paths are those of URLs
        for part in parts_of_paths(ast.parse(path.read_text()))
        if part in NAMES | OF_A_JOB
    ]
    assert {path for path, _ in used} == {"paths.py", "files/job.py"}
    assert max(Counter(part for _, part in used).values()) == 1


def test_a_name_that_is_no_common_word_is_one_text_of_the_product():
    all_texts = Counter(
        text for path in ROOT.rglob("*.py") for text in texts(ast.parse(path.read_text()))
    )
    assert {name: all_texts[name] for name in NAMES if "." in name} == dict.fromkeys(
        (name for name in NAMES if "." in name), 1
    )


def test_each_file_has_a_name_of_its_own():
    properties = [name for name, value in vars(StateDir).items() if isinstance(value, property)]
    assert len(NAMES) == len(properties) + 1
