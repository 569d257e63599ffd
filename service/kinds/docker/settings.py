"""Settings of commands in containers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from service.settings import KindSettings, setting
from service.settings.readers import absolute_paths, network_name, program, user_name, words


@dataclass(frozen=True, kw_only=True)
class DockerSettings(KindSettings):
    """What the operator allows containers, and the client that runs them."""

    # Where the daemon is, how it is reached, and where the client's own files are.
    passed_variables: ClassVar[re.Pattern[str]] = re.compile(
        r"DOCKER_.*|CONTAINERS?_.*|REGISTRY_AUTH_FILE"
    )

    docker: str = setting(
        program,
        "docker",
        "a program's name, or its absolute path",
        "the client that runs commands of the kind `docker`; `podman` may do",
    )
    docker_user: str = setting(
        user_name,
        "",
        "a user, or a user and a group (1000:1000)",
        "whom commands in containers run as, `user` or `user:group`; default `JOBRUNNER_RUN_AS`,"
        " else the service's own",
    )
    docker_network: str = setting(
        network_name,
        "none",
        "the name of a network",
        "the network of a container that doesn't ask for one",
    )
    docker_capabilities: tuple[str, ...] = setting(
        words(r"(?:CAP_)?[A-Z][A-Z_]*"),
        "",
        "names of capabilities in capital letters, with blanks between",
        "capabilities(7) of the processes in a container, with blanks between; default none",
    )
    docker_images: tuple[str, ...] = setting(
        words(r"[A-Za-z0-9*?._:@/\[\]-]+"),
        "",
        "patterns of images, with blanks between",
        "images that may run, as patterns with blanks between; `*` is any characters, and names are"
        " completed as Docker does (`busybox` is `docker.io/library/busybox`, with any tag;"
        " `registry.example/team/*` all of a registry's path); default all",
    )
    docker_volumes: tuple[Path, ...] = setting(
        absolute_paths,
        "",
        "absolute paths, with ':' between them",
        "directories below which a command may have volumes, with `:` between them; default none",
    )
