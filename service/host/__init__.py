"""The operating system, as more than one package needs it: processes, users, locks, paths."""
