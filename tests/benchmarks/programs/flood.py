"""`flood.py PORT BYTES`: says `ready`, and after a line on stdin has a job write so many bytes, reads
them live, and prints the seconds that it took, from the POST to the last byte.
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from wire import BadAnswer, Line, request


def main():
    port, size_bytes = int(sys.argv[1]), int(sys.argv[2])
    with Line(port) as line:
        print("ready", flush=True)
        sys.stdin.readline()
        begun = time.monotonic()
        job_id = line.submit({"CommandLine": f"head -c {size_bytes} /dev/zero"})
        got = line.open_stream(f"/{job_id}/attach").count()
        if got != size_bytes:
            raise BadAnswer(f"{got} bytes came, {size_bytes} were written")
        print(time.monotonic() - begun, flush=True)
        line.ask(request("POST", f"/{job_id}/clean"))


main()
