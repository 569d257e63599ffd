"""Whose turn is next: by priority, then by fair share, then first come first served."""

from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from service.supervisor.run_queue import Turns


def waiting(*jobs):
    turns = Turns()
    for key, priority, principal in jobs:
        turns.wait(key, priority=priority, principal=principal)
    return turns


def all_of(turns, *, begin=True):
    """Every key in the order of its turn; each begins, and none ends."""
    taken = []
    whose = {key: principal for key, (_, (principal, _)) in turns._places.items()}
    while turns:
        taken.append(turns.take())
        if begin:
            turns.began(whose[taken[-1]])
    return taken


def test_higher_priority_comes_first():
    turns = waiting(("low", -100, ""), ("a", 0, ""), ("high", 100, ""), ("b", 0, ""))
    assert all_of(turns) == ["high", "a", "b", "low"]


def test_one_who_asks_for_much_waits_for_those_who_ask_for_little():
    greedy = [(f"greedy{n}", 0, "greedy") for n in range(4)]
    turns = waiting(*greedy, ("ann", 0, "ann"), ("bob", 0, "bob"), ("ann2", 0, "ann"))
    assert all_of(turns) == ["greedy0", "ann", "bob", "greedy1", "ann2", "greedy2", "greedy3"]


def test_priority_comes_before_fairness():
    turns = waiting(("a", 1, "greedy"), ("b", 1, "greedy"), ("c", 0, "ann"))
    assert all_of(turns) == ["a", "b", "c"]


def test_jobs_of_nobody_in_particular_are_served_first_come_first_served():
    names = [str(n) for n in range(100)]
    assert all_of(waiting(*((name, 0, "") for name in names))) == names


def test_nobody_waits_in_the_end():
    with pytest.raises(IndexError):
        waiting().take()


def test_what_is_kept_is_bounded_by_those_who_wait():
    turns = waiting(("low", -1, "ann"), ("other", -1, "bob"))
    for number in range(10_000):
        for principal in ("ann", "bob"):
            turns.began(principal)
            turns.wait(number, priority=-1, principal=principal)
            turns.ended(principal)
            turns.leave(number)
            if number % 3:
                turns.began("ann")
                turns.wait("taken", priority=-1, principal="cid")
                turns.leave(turns.take())
                turns.ended("ann")
    (level,) = turns._levels.values()
    assert len(level.heap) < 100


def test_a_principal_at_its_ceiling_is_passed_over_and_blocks_nobody():
    turns = Turns()
    for key, priority, principal, most in [
        ("a1", 9, "ann", 1), ("a2", 9, "ann", 1), ("b", 0, "bob", 0), ("a3", -1, "ann", 0),
    ]:  # fmt: skip
        turns.wait(key, priority=priority, principal=principal, most=most)
    assert turns.take() == "a1"
    turns.began("ann")
    assert not turns.may_run("ann", 1)
    assert turns.take() == "b"
    turns.began("bob")
    assert turns.take() == "a3"  # submitted with a token that has no ceiling
    turns.began("ann")
    assert turns.next() is None
    assert len(turns) == turns.waiting_of("ann") == 1
    turns.ended("ann")
    assert turns.next() is None
    turns.ended("ann")
    assert turns.take() == "a2"
    assert turns.waiting_of("ann") == 0


class AgainstAList(RuleBasedStateMachine):
    """The model looks at everybody who waits, each time."""

    def __init__(self):
        super().__init__()
        self.turns, self.list, self.running, self.count = Turns(), [], Counter(), 0

    @rule(priority=st.integers(-1, 1), principal=st.sampled_from("abc"), most=st.integers(0, 2))
    def wait(self, priority, principal, most):
        self.count += 1
        self.list.append((self.count, priority, principal, most))
        self.turns.wait(self.count, priority=priority, principal=principal, most=most)

    @rule()
    def take(self):
        may = [job for job in self.list if not 0 < job[3] <= self.running[job[2]]]
        if not may:
            assert self.turns.next() is None
            with pytest.raises(IndexError):
                self.turns.take()
            return
        # Of one principal with the same rank, the older job is first, whatever its ceiling.
        best = min(may, key=lambda job: (-job[1], self.running[job[2]], job[0]))
        assert self.turns.take() == best[0]
        self.list.remove(best)
        self.turns.began(best[2])
        self.running[best[2]] += 1

    @precondition(lambda self: self.running.total())
    @rule(data=st.data())
    def end(self, data):
        principal = data.draw(st.sampled_from(sorted(p for p, n in self.running.items() if n)))
        self.turns.ended(principal)
        self.running[principal] -= 1

    @precondition(lambda self: self.list)
    @rule(data=st.data())
    def leave(self, data):
        job = data.draw(st.sampled_from(self.list))
        self.list.remove(job)
        self.turns.leave(job[0])
        self.turns.leave(job[0])

    @invariant()
    def those_who_wait_are_those_of_the_list(self):
        assert len(self.turns) == len(self.list)
        assert all(job[0] in self.turns for job in self.list)
        for principal in "abc":
            assert self.turns.waiting_of(principal) == sum(j[2] == principal for j in self.list)
            for most in range(3):
                may = not 0 < most <= self.running[principal]
                assert self.turns.may_run(principal, most) is may


AgainstAList.TestCase.settings = settings(max_examples=200, deadline=None, stateful_step_count=60)
TestAgainstAList = AgainstAList.TestCase
