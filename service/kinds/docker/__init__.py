"""Kind `docker`: a command in a container, by Docker's own client.

The client is the command's process; what it can't be relied on for is in `ending`.
"""

from __future__ import annotations

from service.kinds.docker.leftovers import fault, leftovers, remove
from service.kinds.docker.plan import directory, plan
from service.kinds.docker.spec import RULES, DockerCommand, places
from service.kinds.kind import Kind

DOCKER = Kind(
    name="docker",
    spec=DockerCommand,
    places=places,
    plan=plan,
    directory=directory,
    fault=fault,
    leftovers=leftovers,
    remove=remove,
    rules=RULES,
)
