"""Processes: spawned, found, signalled, limited, reaped."""
