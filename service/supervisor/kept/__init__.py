"""Processes that outlive their jobs, as these asked for."""
