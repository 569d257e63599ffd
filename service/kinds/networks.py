"""Which networks a command may have: none, and those that the operator names."""

from __future__ import annotations

from service.settings import Settings


def why_not(network: str, settings: Settings) -> str | None:
    """Why a container may not have `network`, None if it may.

    Names are compared as they are written. Docker also takes a network's ID, and the name or ID of
    a container (`container:NAME`): what isn't named in the setting itself is refused.
    """
    allowed = {"none", settings.docker_network, *settings.networks}
    if network in allowed:
        return None
    names = ", ".join(sorted(allowed))
    return f"expected a network that this service allows (JOBRUNNER_NETWORKS), {names}"


def why_not_host(settings: Settings) -> str | None:
    """Why a bash command may not have the network of this host, None if it may.

    Without a sandbox it has that network whatever it asks for.
    """
    if settings.sandbox == "off" or "host" in settings.networks:
        return None
    return "expected none: this service allows no command the host's network (JOBRUNNER_NETWORKS)"
