"""What a supervisor can do of what messages may ask beyond the first release's: told in its hello,
so that what an older one would pass over is refused and never ignored.
"""

from __future__ import annotations

from typing import Final

IDLE_TIMEOUT: Final = "idle_timeout"
QUEUE_TIMEOUT: Final = "queue_timeout"
PRIORITY: Final = "priority"
RUN_AS: Final = "run_as"
# It makes a log when its first byte comes, or when it is told to (`log`).
LOG_ON_DEMAND: Final = "log_on_demand"
# A claim names how many jobs of its principal may be pending, and running.
CEILINGS: Final = "ceilings"
# It hands a program options in a file in memory (`options`); without it there is no sandbox.
OPTIONS: Final = "options"
# It starts commands of another user with PR_SET_NO_NEW_PRIVS (`no_new_privs`).
NO_NEW_PRIVS: Final = "no_new_privs"

ABILITIES: Final = (
    IDLE_TIMEOUT,
    QUEUE_TIMEOUT,
    PRIORITY,
    RUN_AS,
    LOG_ON_DEMAND,
    CEILINGS,
    OPTIONS,
    NO_NEW_PRIVS,
)
