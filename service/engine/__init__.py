"""When things happen to jobs: submission, order of commands, kill, take-over, recovery."""
