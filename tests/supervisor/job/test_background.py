"""Which processes outlive a job, where neither their environment nor the clock tells."""

from service.host.procfs import Process
from service.supervisor.job.background import Background
from service.supervisor.snapshot import from_json, to_json

TICK = 500  # in which all of it happens
# Numbers that the kernel doesn't give: no environment can be read.
FIRST, CHILD, SECOND, THIRD = range(2**22 + 1, 2**22 + 5)


def process(pid, parent=1):
    return Process(pid=pid, parent=parent, session=pid, started=TICK, is_dead=False)


def ending(background, *processes):
    return {each.pid for each in background.ending("job", processes)}


def start(background, number, present, *, is_kept):
    background.starting("job", number, TICK, is_kept=is_kept, members=lambda: present)


def test_what_was_there_before_is_of_an_earlier_command_though_the_clock_cannot_tell():
    background = Background()
    first, second, third = process(FIRST), process(SECOND), process(THIRD)
    start(background, 0, [], is_kept=False)
    start(background, 1, [first], is_kept=True)
    assert ending(background, first, second) == {FIRST}
    start(background, 2, [first, second], is_kept=False)
    background = from_json(Background, to_json(background))
    assert ending(background, first, second, third) == {FIRST, THIRD}
    # A child of one that was seen belongs where its parent does.
    child = process(CHILD, parent=SECOND)
    assert ending(background, second, child, third) == {THIRD}
    child = process(CHILD, parent=FIRST)
    start(background, 3, [first, second, third], is_kept=True)
    assert ending(background, first, child, second, third) == {FIRST, CHILD, THIRD}


def test_commands_of_one_sort_look_at_nothing():
    background = Background()
    looked = []
    for number in range(3):
        background.starting(
            "job", number, TICK, is_kept=True, members=lambda: looked.append(1) or []
        )
    assert not looked
    assert ending(background, process(FIRST)) == set()
