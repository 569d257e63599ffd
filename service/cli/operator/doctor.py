"""`jobrunner doctor`: prints what is wrong on this host, and what to do about it."""

from __future__ import annotations

import json

from service.host.escaping import escaped
from service.operations.doctor import examine
from service.operations.findings import Severity


def doctor(*, as_json: bool, fix: bool) -> int:
    """Print every finding. Returns the exit status: 1 when there is a problem. `fix` removes what
    finished jobs left behind.
    """
    findings = examine(fix=fix)
    if as_json:
        rows = [
            {"check": f.check, "verdict": f.severity, "text": f.text, "advice": f.advice}
            for f in findings
        ]
        print(json.dumps(rows, indent=2))
    else:
        for finding in findings:
            print(f"{finding.severity:<8} {finding.check}: {escaped(finding.text)}")
            if finding.advice:
                print(f"{'':<8} → {escaped(finding.advice)}")
    return int(any(finding.severity is Severity.PROBLEM for finding in findings))
