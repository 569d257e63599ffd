"""`stamps.py LINES INTERVAL_S`: write the monotonic time in ns, in 20 digits, once per interval."""

import os
import select
import sys
import time


def main():
    lines, interval_s = int(sys.argv[1]), float(sys.argv[2])
    due_s = time.monotonic()
    for _ in range(lines):
        due_s += interval_s
        select.select([], [], [], max(0.0, due_s - time.monotonic()))
        os.write(1, b"%020d\n" % time.monotonic_ns())


main()
