"""`jobrunner doctor`: says in plain words what is wrong on this box, and what to do about it."""

from __future__ import annotations

import json
from dataclasses import asdict

from service.client.doctor import Verdict, examine


def doctor(*, as_json: bool) -> int:
    """Print every finding; the exit status: 1 when there is a problem."""
    findings = examine()
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            print(f"{finding.verdict:<8} {finding.check}: {finding.text}")
            if finding.advice:
                print(f"{'':<8} → {finding.advice}")
    return int(any(finding.verdict is Verdict.PROBLEM for finding in findings))
