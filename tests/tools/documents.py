"""The parts of the documents that are generated: tables of settings, routes, errors, series and costs, and diagrams.

`python tests/tools/documents.py` writes them anew, each between `<!-- generated: NAME -->` and `<!-- end -->`;
`stale()` names those that differ from what the code says now.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from prometheus_client.metrics_core import Metric

ROOT: Final = Path(__file__).parents[2]
_BENCHMARKS: Final = ROOT / "tests" / "benchmarks"
_BLOCK: Final = re.compile(
    r"(?P<begin><!-- generated: (?P<name>[\w-]+) -->\n)(?P<text>.*?)(?P<end><!-- end -->)",
    re.DOTALL,
)
# What Prometheus' client adds to the name of a series of this type.
_SUFFIX: Final = {"counter": "_total"}


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    titles = list(head)
    cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    lines = [titles, ["---"] * len(titles), *cells]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines).replace("|  |", "| |")


def settings() -> str:
    from service.kinds.settings import declared_settings

    return _table(
        ("variable", "default", "meaning"),
        (
            (f"`{s.variable}`", f"`{s.default}`" if s.default else "", s.meaning)
            for s in declared_settings()
        ),
    )


def _operations() -> Iterator[tuple[str, dict[str, Any]]]:
    """What OpenAPI calls operations, HEAD left out: it stands beside each GET."""
    from service.api.description import document
    from service.api.routes import ROUTES

    for path, methods in document(ROUTES)["paths"].items():
        for method, operation in methods.items():
            if method != "head":
                yield f"{method.upper()} {path.replace('{ID}', '<ID>')}", operation


def routes() -> str:
    from service.api.routes import ROUTES

    return _table(
        ("route", "what it does", "status", "scope"),
        (
            (
                f"`{route.method} {route.path.replace('{ID}', '<ID>')}`",
                route.meaning,
                ", ".join(str(success.status) for success in route.successes),
                "none: public" if route.public_path is not None else f"`{route.scope}`",
            )
            for route in ROUTES
        ),
    )


def parameters() -> str:
    def rows() -> Iterator[tuple[str, str, str, str]]:
        for route, operation in _operations():
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "path":
                    continue
                schema = parameter["schema"]
                yield (
                    f"`{route}`",
                    f"`{parameter['name']}`" + (" (header)" if parameter["in"] == "header" else ""),
                    parameter["description"],
                    f"`{json.dumps(schema['default']).strip(chr(34))}`"
                    if "default" in schema
                    else "",
                )

    return _table(("route", "parameter", "meaning", "default"), rows())


def errors() -> str:
    from service.errors import LEAVES, InternalError

    # Of the faults of the service a caller is told one code.
    told = [leaf for leaf in LEAVES.values() if leaf.status != 500 or leaf is InternalError]
    known = sorted((leaf.status, leaf.code, leaf.title) for leaf in told)
    return _table(
        ("status", "type", "title"),
        ((str(status), f"`{code}`", title) for status, code, title in known),
    )


def beyond_schema() -> str:
    from service.kinds.beyond_schema import RULES

    places = (rule.at or "the body" for rule in RULES)
    return _table(
        ("where", "what a schema can't say"),
        ((f"`{place}`", rule.meaning) for place, rule in zip(places, RULES, strict=True)),
    )


def series() -> str:
    from service.jobs.states import State
    from service.metrics.exposition import Stored
    from service.metrics.series import Metrics

    registry = Metrics().registry
    families = [*Stored(dict.fromkeys(State, 0), 0, free_inodes=0).collect(), *registry.collect()]

    def labels(family: Metric) -> str:
        declared = registry._names_to_collectors.get(family.name)
        names = getattr(declared, "_labelnames", None) or {
            key for sample in family.samples for key in sample.labels
        } - {"le"}
        return ", ".join(f"`{name}`" for name in sorted(names))

    return _table(
        ("series", "meaning", "labels"),
        (
            (f"`{family.name}{_SUFFIX.get(family.type, '')}`", family.documentation, labels(family))
            for family in families
        ),
    )


def _mermaid(diagram: str) -> str:
    return f"```mermaid\n{diagram}\n```\n"


def lifecycle() -> str:
    from service.jobs.lifecycle import diagram

    return _mermaid(diagram())


def job_machine() -> str:
    from service.supervisor.job.phases import diagram

    return _mermaid(diagram())


def ignored_inputs() -> str:
    from service.supervisor.job.phases import IGNORED

    return _table(
        ("phase", "input", "why it changes nothing"),
        ((f"`{phase}`", f"`{given}`", reason) for (phase, given), reason in IGNORED.items()),
    )


def costs() -> str:
    sys.path[:0] = [str(_BENCHMARKS)]
    from cases import CASES  # type: ignore[import-not-found]  # found through the line above

    stored = json.loads((_BENCHMARKS / "baseline.json").read_text())["rows"]

    def number(value: float) -> str:
        return f"{value:.2f}" if value < 10 else f"{value:.0f}"

    def rows() -> Iterator[tuple[str, ...]]:
        for case in CASES.values():
            for row in case.rows:
                if row.name in stored:
                    kept = stored[row.name]
                    value = f"{number(kept['median'])} ± {number(kept['spread'])}"
                    against = f"ratio to: {row.comparator}" if row.comparator else row.unit
                    if row.takes == "difference":
                        against = f"{row.unit} more than: {row.comparator}"
                    goal = str(row.goal or "")
                    yield row.name, case.about, value, against, goal, kept.get("date", "")

    return _table(("row", "what is measured", "median", "unit", "goal", "measured"), rows())


def commands() -> str:
    from command_reference import reference

    return reference()


def options_for_all() -> str:
    from command_reference import options_for_all

    return options_for_all()


GENERATED: Final[dict[str, Callable[[], str]]] = {
    "settings": settings,
    "routes": routes,
    "parameters": parameters,
    "errors": errors,
    "beyond-schema": beyond_schema,
    "series": series,
    "lifecycle": lifecycle,
    "job-machine": job_machine,
    "ignored-inputs": ignored_inputs,
    "costs": costs,
    "commands": commands,
    "options-for-all": options_for_all,
}


def pages() -> list[Path]:
    """All documents of the project."""
    folders = [ROOT / name for name in ("service", "deploy", "tests")]
    return sorted({ROOT / "README.md", *(page for f in folders for page in f.rglob("*.md"))})


def renewed(text: str) -> str:
    """`text` with each generated part as the code says now. Raises: KeyError, for an unknown name."""
    return _BLOCK.sub(lambda m: m["begin"] + GENERATED[m["name"]]() + m["end"], text)


def stale() -> list[str]:
    """Pages that differ from what the code says, relative to the project."""
    return [
        str(page.relative_to(ROOT))
        for page in pages()
        if (text := page.read_text()) != renewed(text)
    ]


if __name__ == "__main__":
    for path in pages():
        before = path.read_text()
        if (after := renewed(before)) != before:
            path.write_text(after)
            sys.stdout.write(f"written: {path.relative_to(ROOT)}\n")
