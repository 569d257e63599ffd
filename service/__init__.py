"""jobrunner: run jobs on a box, attach to their output from anywhere.

The package imports nothing by itself: the supervisor (`service.supervisor`) lives on the standard
library alone, and importing it must not load the web stack.
"""

__version__ = "0.1.0"
