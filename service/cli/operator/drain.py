"""`jobrunner drain` and `jobrunner resume`: whether the service takes jobs, and starts them."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import Any, Final

from service.host.escaping import escaped
from service.kinds.settings import read_settings
from service.operations import drain as operations
from service.operations.drain import Drained, Resumed
from service.operations.supervisor import NoSupervisor
from service.settings import SettingError, Settings

# Exit statuses. Source: 124 is that of timeout(1); 130 that of a shell after SIGINT.
_FAILED: Final = 1
_USAGE: Final = 2
_RESUMED: Final = 3
_TIMED_OUT: Final = 124
_INTERRUPTED: Final = 130
_DRAIN: Final = """\
Have the running service drain: it takes no new job (503), what runs finishes, with all of its
commands, and what is pending waits. `jobrunner resume` ends that, and so does the next start after
a stop that somebody asked for. A crash or a reload doesn't.

exit status:
  0    it drains; with --wait: no job runs any more
  1    no supervisor responds
  2    wrong usage, or a wrong setting
  3    --wait: the drain was ended meanwhile
  124  --timeout has passed, and jobs still run; it goes on draining
  130  --wait: interrupted; it goes on draining
"""


def add_to(commands: Any) -> None:
    """Add both to the command line's subparsers."""
    drain = commands.add_parser(
        "drain",
        help="take no new jobs, and let those that run finish",
        description=_DRAIN,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    drain.add_argument("--wait", action="store_true", help="return when no job runs any more")
    drain.add_argument(
        "--timeout", type=_seconds, metavar="SECONDS", help="wait that long at most (with --wait)"
    )
    commands.add_parser(
        "resume",
        help="end a drain: take jobs again, and start those that are pending",
        description="End a drain: the service takes jobs again, and starts those that are pending."
        " The exit status is 0 also when it didn't drain.",
    )


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no number of seconds above 0")
    return seconds


def run(options: argparse.Namespace) -> int:
    """Carry out either of them. Returns the exit status."""
    if options.command == "drain" and options.timeout is not None and not options.wait:
        return _fail("--timeout is for --wait, which is missing.", _USAGE)
    try:
        settings = read_settings()
        if options.command == "resume":
            return _resume(settings)
        return asyncio.run(_drain(settings, options))
    except SettingError as exc:
        return _fail(str(exc), _USAGE)
    except NoSupervisor as exc:
        return _fail(str(exc), _FAILED)
    except KeyboardInterrupt:
        return _fail("interrupted; the service goes on draining.", _INTERRUPTED)


def _resume(settings: Settings) -> int:
    did_drain = asyncio.run(operations.resume(settings.state_dir))
    print("The service takes jobs again." if did_drain else "The service didn't drain.")
    return 0


async def _drain(settings: Settings, options: argparse.Namespace) -> int:
    begun = await operations.drain(settings.state_dir)
    print(_told(begun), flush=True)
    if not options.wait:
        return 0
    try:
        async with asyncio.timeout(options.timeout):
            ended = await operations.wait_drained(settings.state_dir)
    except TimeoutError:
        return _fail("jobs still run; the service goes on draining.", _TIMED_OUT)
    except Resumed:
        return _fail("the drain was ended meanwhile.", _RESUMED)
    print(f"No job runs any more; {ended.pending} are pending.")
    return 0


def _told(drained: Drained) -> str:
    return (
        f"The service drains: {drained.running} jobs run and will finish, {drained.pending} are"
        " pending and wait. `jobrunner resume` ends that."
    )


def _fail(sentence: str, status: int) -> int:
    print(f"jobrunner: {escaped(sentence)}", file=sys.stderr)
    return status
