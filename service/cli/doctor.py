"""`jobrunner doctor`: says in plain words what is wrong on this box, and what to do about it."""

from __future__ import annotations

import json
from dataclasses import asdict

from service.host.escaping import escaped
from service.operations.doctor import examine
from service.operations.findings import Verdict


def doctor(*, as_json: bool, fix: bool) -> int:
    """Print every finding; the exit status: 1 when there is a problem. `fix`: remove what jobs that
    are over left behind.
    """
    findings = examine(fix=fix)
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            print(f"{finding.verdict:<8} {finding.check}: {escaped(finding.text)}")
            if finding.advice:
                print(f"{'':<8} → {escaped(finding.advice)}")
    return int(any(finding.verdict is Verdict.PROBLEM for finding in findings))
