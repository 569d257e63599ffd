"""`client_reader.py URL ID BYTES`: read a job's output by the Python client; print how many seconds it took."""

import sys
import time

import jobrunner


def main():
    url, job_id, expected = sys.argv[1], sys.argv[2], int(sys.argv[3])
    with jobrunner.Client(url) as client:
        client.job(job_id).show()  # connected, as curl isn't; it has no modules to load either
        began = time.monotonic()
        count = sum(map(len, client.job(job_id).stream()))
        elapsed_s = time.monotonic() - began
    if count != expected:
        raise SystemExit(f"{count} bytes came, {expected} were written")
    print(elapsed_s)


main()
