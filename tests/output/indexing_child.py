"""Makes the index of the lines of a log, step by step; says `ready` before the first."""

from __future__ import annotations

import os
import sys

from service.output.lines import line_index
from service.output.lines.kept_log import KeptLog
from service.output.lines.line_index import LineIndex
from service.output.reader import LogReader

line_index.STEP_BYTES = 128 * 1024  # type: ignore[misc]

with LogReader.open(sys.argv[1]) as reader:
    state = reader.state()
    log, index = KeptLog(reader, state), LineIndex(sys.argv[1], reader)
    os.write(1, b"ready\n")
    while index.known(log) < log.size:
        index.advance(state)
