"""Searching a log for lines: the pattern, the lines, and the processes in which it is done."""
