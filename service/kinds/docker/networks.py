"""Which networks a container may have: none, and those that the operator names."""

from __future__ import annotations

from service.kinds.docker.settings import DockerSettings
from service.settings import Settings


def why_not(network: str, settings: Settings) -> str | None:
    """Why a container may not have `network`, None if it may.

    Names are compared as they are written. Docker also takes a network's ID, and the name or ID of
    a container (`container:NAME`): what isn't named in the setting itself is refused.
    """
    allowed = {"none", settings.of(DockerSettings).docker_network, *settings.networks}
    if network in allowed:
        return None
    names = ", ".join(sorted(allowed))
    return f"expected a network that this service allows (JOBRUNNER_NETWORKS), {names}"
