"""`spawn_loop.py TOTAL AT_ONCE`: run `bash -c true` TOTAL times, AT_ONCE at a time.

Prints the seconds that it took.

The limit for anything that runs commands: posix_spawn, wait, and nothing else. Each command gets the
variables that a job gets: with LANG in them, bash loads a locale.
"""

import os
import shutil
import sys
import time

BASE_VARIABLES = ("PATH", "HOME", "USER", "LANG", "TZ")


def main():
    total, at_once = int(sys.argv[1]), int(sys.argv[2])
    bash = shutil.which("bash")
    own = os.environ  # noqa: TID251 - a job's come from there too
    environment = {name: own[name] for name in BASE_VARIABLES if name in own}
    begun = ended = 0
    started_s = time.monotonic()
    while ended < total:
        while begun < total and begun - ended < at_once:
            os.posix_spawn(bash, ["bash", "-c", "true"], environment)
            begun += 1
        _, status = os.waitpid(-1, 0)
        if status:
            sys.exit(f"bash -c true: wait status {status}")
        ended += 1
    print(time.monotonic() - started_s)


main()
