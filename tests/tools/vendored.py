"""The libraries of others that the page loads: taken from npm, with a manifest beside them.

`python tests/tools/vendored.py` packs each with npm at the version that the manifest names, and compares it with what
is here, byte by byte; with `--refresh` it takes what it finds in its place, of the newest versions. `wrong()` does what
needs no network: it compares the files with their SHA-256.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
# A directory of such files each, with its manifest.
DIRECTORIES: Final = (ROOT / "service/ui/static/vendor", ROOT / "tests/ui/vendor")
MANIFEST: Final = "manifest.json"


def wrong(directory: Path) -> list[str]:
    """What isn't as the manifest of that directory says, as sentences."""
    named: dict[str, str] = {MANIFEST: ""}
    for package in _manifest(directory):
        named |= {name: file["sha256"] for name, file in package["files"].items()}
    there = {path.name for path in directory.iterdir()}
    found = [f"{name} stands in one place only" for name in sorted(there ^ set(named))]
    return found + [
        f"{name} isn't what the manifest says"
        for name, sha256 in named.items()
        if sha256 and name in there and _sha256((directory / name).read_bytes()) != sha256
    ]


def renewed(directory: Path, *, refresh: bool) -> list[str]:
    """What npm has otherwise than the directory, as sentences; with `refresh` it is taken over."""
    found = []
    packages = _manifest(directory)
    for package in packages:
        name = package["name"]
        with tempfile.TemporaryDirectory() as place:
            files = _packed(name if refresh else f"{name}@{package['version']}", Path(place))
        described = json.loads(files["package.json"])
        package |= {"version": described["version"], "license": described["license"]}
        for target, file in package["files"].items():
            data = files[file["from"]]
            if (directory / target).read_bytes() != data:
                found.append(f"{target} isn't {file['from']} of {name} {package['version']}")
            if refresh:
                (directory / target).write_bytes(data)
                file["sha256"] = _sha256(data)
    if refresh:
        (directory / MANIFEST).write_text(json.dumps(packages, indent=2) + "\n")
    return found


def _packed(package: str, place: Path) -> dict[str, bytes]:
    command = ["npm", "pack", "--silent", "--ignore-scripts", package]
    done = subprocess.run(command, cwd=place, check=True, capture_output=True, text=True)
    files = {}
    with tarfile.open(place / done.stdout.split()[-1]) as archive:
        for member in archive:
            data = archive.extractfile(member)
            if data is not None:
                files[member.name.partition("/")[2]] = data.read()
    return files


def _manifest(directory: Path) -> list[dict[str, Any]]:
    packages: list[dict[str, Any]] = json.loads((directory / MANIFEST).read_text())
    return packages


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


if __name__ == "__main__":
    refresh = "--refresh" in sys.argv[1:]
    told = [s for place in DIRECTORIES for s in renewed(place, refresh=refresh) + wrong(place)]
    print("\n".join(told) or "All is as npm has it.")  # noqa: T201 - a command of developers
    sys.exit(bool(told) and not refresh)
