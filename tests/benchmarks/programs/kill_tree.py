"""`kill_tree.py ROOT LINE`: run a line of bash in a cgroup below ROOT until it says something, and
kill it all. Prints the seconds from the kill until the cgroup is empty.
"""

import os
import select
import subprocess
import sys
import time


def main():
    root, line = sys.argv[1:]
    group = f"{root}/jobrunner-bench-{os.getpid()}"
    os.mkdir(group)
    try:
        enter = f"echo $$ > {group}/cgroup.procs && {line}"
        child = subprocess.Popen(["bash", "-c", enter], stdout=subprocess.PIPE)
        child.stdout.readline()
        events = os.open(f"{group}/cgroup.events", os.O_RDONLY)
        poller = select.poll()
        poller.register(events, select.POLLPRI)
        begun = time.perf_counter()
        with open(f"{group}/cgroup.kill", "w") as kill:
            kill.write("1")
        child.wait()
        while b"populated 1" in os.pread(events, 4096, 0):
            poller.poll(1000)
        print(time.perf_counter() - begun)
    finally:
        os.rmdir(group)


main()
