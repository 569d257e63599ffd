"""What workers and supervisor share: their protocol, its ends, and who starts whom."""
