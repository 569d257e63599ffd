"""jobrunner: run jobs on a host, attach to their output from anywhere.

This module imports nothing: the supervisor (`service.supervisor`) uses the standard library only,
and importing it must not load the web stack.
"""

__version__ = "0.1.0"
