"""Stands for what isn't there: see `AS_DEPLOYED` in `running.py`."""

raise ImportError("not installed where the service is deployed")
