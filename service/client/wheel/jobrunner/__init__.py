"""A client of a jobrunner service. `service/client/README.md` is its documentation.

The wheel has this package at its top level, as `jobrunner`.
"""

from service.client import *  # noqa: F403 - all public names, which `__all__` lists
from service.client import __all__ as __all__
