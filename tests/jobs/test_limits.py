"""The limits that hold for a job: the lower of what it asks for and what the service allows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.jobs.limits import (
    Limits,
    effective_limits,
    effective_output_limit,
    errors_in_limits,
)
from service.kinds.settings import read_settings

NAMES = Limits.__struct_fields__
AMOUNT = st.none() | st.integers(min_value=0, max_value=1 << 20)


def service(**limits):
    environment = {f"JOBRUNNER_{name}": str(value or 0) for name, value in limits.items()}
    return read_settings({"HOME": "/none", **environment})


@given(st.tuples(*[AMOUNT] * 5), st.tuples(*[AMOUNT] * 5))
def test_the_lower_one_holds_and_none_or_zero_is_no_limit(asked, allowed):
    allowed = [value if value is None or value > 1 << 10 else 0 for value in allowed]
    settings = service(
        **{f"LIMIT_{n.upper()}": v << 13 if v and n == "memory" else min(v or 0, 100_000)
           for n, v in zip(NAMES, allowed, strict=True)}
    )  # fmt: skip
    effective = effective_limits(Limits(**dict(zip(NAMES, asked, strict=True))), settings)
    for name, value in zip(NAMES, asked, strict=True):
        both = [most for most in (value, getattr(settings, f"limit_{name}")) if most]
        assert getattr(effective, name) == min(both, default=None)
        assert effective.in_force().get(name) == min(both, default=None)


@pytest.mark.parametrize(
    ("asked", "allowed", "effective"), [(0, 0, 0), (70000, 0, 70000), (0, 65536, 65536)]
)
def test_the_lower_limit_of_the_output_holds(asked, allowed, effective):
    assert effective_output_limit(asked, service(OUTPUT_LIMIT=allowed)) == effective


def test_a_limit_that_became_lower_holds_for_a_job_that_was_accepted_before():
    settings = service(LIMIT_PIDS=5)
    assert effective_limits(Limits(pids=7), settings).pids == 5
    assert [e.pointer for e in errors_in_limits(Limits(pids=7), settings)] == ["/Limits/PIDs"]
