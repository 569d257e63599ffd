"""Token buckets under a clock of the test's own."""

from hypothesis import given
from hypothesis import strategies as st

from service.access.rate_limiter import RateLimiter


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_a_burst_passes_and_what_follows_waits_for_its_second():
    clock = Clock()
    limiter = RateLimiter(2, 3, clock=clock)
    assert [limiter.acquire("a") for _ in range(4)] == [0, 0, 0, 1]
    assert limiter.acquire("b") == 0
    clock.now += 0.5
    assert [limiter.acquire("a") for _ in range(2)] == [0, 1]


def test_the_seconds_to_wait_are_enough():
    clock = Clock()
    limiter = RateLimiter(0.1, 1, clock=clock)
    assert limiter.acquire("a") == 0
    wait_s = limiter.acquire("a")
    assert wait_s == 10
    clock.now += wait_s
    assert limiter.acquire("a") == 0


def test_no_rate_is_no_limit():
    limiter = RateLimiter(0, 0)
    assert not any(limiter.acquire("a") for _ in range(10_000))


def test_keys_are_bounded_and_the_quietest_go_first():
    limiter = RateLimiter(0.001, 1, clock=Clock())
    assert limiter.acquire("often") == 0
    for n in range(20_000):
        limiter.acquire(str(n))
        if n % 1000 == 0:
            assert limiter.acquire("often") > 0
    assert len(limiter._buckets) <= 10_000


@given(st.lists(st.floats(0, 10), max_size=200), st.floats(0.1, 10), st.integers(1, 20))
def test_never_more_than_the_burst_and_the_rate_allow(pauses, per_s, burst):
    clock = Clock()
    limiter = RateLimiter(per_s, burst, clock=clock)
    taken = 0
    for pause in pauses:
        clock.now += pause
        taken += limiter.acquire("a") == 0
        assert taken <= burst + clock.now * per_s + 1e-6
