"""Whose turn is next: by priority, then by fair share, then first come first served."""

from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from service.supervisor.turns import Turns


def waiting(*jobs):
    turns = Turns()
    for key, priority, principal in jobs:
        turns.wait(key, priority=priority, principal=principal)
    return turns


def all_of(turns, *, begin=True):
    """Every key in the order of its turn; each begins, and none ends."""
    taken = []
    whose = {key: principal for key, (_, principal) in turns._places.items()}
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


class AgainstAList(RuleBasedStateMachine):
    """The model looks at everybody who waits, each time."""

    def __init__(self):
        super().__init__()
        self.turns, self.list, self.running, self.count = Turns(), [], Counter(), 0

    @rule(priority=st.integers(-1, 1), principal=st.sampled_from("abc"))
    def wait(self, priority, principal):
        self.count += 1
        self.list.append((self.count, priority, principal))
        self.turns.wait(self.count, priority=priority, principal=principal)

    @precondition(lambda self: self.list)
    @rule()
    def take(self):
        best = min(self.list, key=lambda job: (-job[1], self.running[job[2]], job[0]))
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


AgainstAList.TestCase.settings = settings(max_examples=200, deadline=None, stateful_step_count=60)
TestAgainstAList = AgainstAList.TestCase
