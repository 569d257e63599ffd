"""What jobs use now: in slices of the loop's time, with a bound, and not twice within a moment."""

import pytest

from service.supervisor.measuring import Measuring

STEP_S = 0.0015  # of the loop's time: two are more than a slice


class Loop:
    """Its time is the test's; what is due next is turned by hand."""

    def __init__(self):
        self.now, self.due = 100.0, []

    def time(self):
        return self.now

    def call_soon(self, callback, *arguments):
        self.due.append((callback, arguments))

    def turn(self):
        due, self.due = self.due, []
        for callback, arguments in due:
            callback(*arguments)


class Job:
    """Takes `steps` steps of the loop's time to be measured; counts how often it was."""

    def __init__(self, loop, job_id, *, steps=1, usage=True):
        self.id, self._loop, self._steps, self._usage = job_id, loop, steps, usage
        self.times = 0

    def measure(self):
        self.times += 1
        for _ in range(self._steps):
            self._loop.now += STEP_S
            yield
        return {"cpu_s": self.times} if self._usage else None


@pytest.fixture
def loop():
    return Loop()


def turns_until_done(loop, done):
    turns = 0
    while not done:
        assert loop.due
        loop.turn()
        turns += 1
    return turns


def test_a_few_jobs_are_measured_at_once(loop):
    done = []
    Measuring(loop).request([Job(loop, "a", steps=0), Job(loop, "b", usage=False)], done.append)
    assert done == [{"a": {"cpu_s": 1}}]
    assert loop.due == []


def test_many_jobs_take_many_turns_of_the_loop_each_of_a_slice(loop):
    done = []
    jobs = [Job(loop, str(number), steps=2) for number in range(20)]
    Measuring(loop).request(jobs, done.append)
    assert done == []
    assert turns_until_done(loop, done) >= 15
    assert len(done[0]) == 20


def test_what_could_not_be_measured_in_time_is_left_out(loop):
    done = []
    jobs = [Job(loop, str(number), steps=100) for number in range(20)]
    Measuring(loop).request(jobs, done.append)
    turns_until_done(loop, done)
    assert 0 < len(done[0]) < 20
    assert list(done[0]) == [job.id for job in jobs[: len(done[0])]]
    assert [job.times for job in jobs[len(done[0]) + 1 :]] == [0] * (19 - len(done[0]))


def test_a_measurement_counts_for_a_moment_and_no_longer(loop):
    measuring, job, done = Measuring(loop), Job(loop, "a"), []
    for after_s, times in ((0.0, 1), (0.3, 1), (0.3, 2)):
        loop.now += after_s
        measuring.request([job], done.append)
        assert done[-1] == {"a": {"cpu_s": times}}
        assert job.times == times


def test_requests_side_by_side_both_end(loop):
    measuring, first, second = Measuring(loop), [], []
    jobs = [Job(loop, str(number), steps=2) for number in range(6)]
    measuring.request(jobs, first.append)
    measuring.request(jobs, second.append)
    turns_until_done(loop, first)
    if not second:
        turns_until_done(loop, second)
    assert set(first[0]) == set(second[0]) == {job.id for job in jobs}
    measuring.request(jobs, first.append)
    assert len(first) == 2  # all are fresh
