"""All settings: those of the service, and those that each Kind brings."""

from __future__ import annotations

from collections.abc import Mapping

from service.kinds import KINDS
from service.settings import GROUPS, Setting, Settings, declared


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings that `environment` (by default: this process's) gives. Raises: SettingError."""
    groups = [kind.settings for kind in KINDS.values() if kind.settings is not None]
    return Settings.from_environment(environment, groups)


def declared_settings() -> tuple[Setting, ...]:
    """Every setting that there is, in the order of the documents."""
    kinds = (kind.settings for kind in KINDS.values() if kind.settings is not None)
    return tuple(setting for group in (*GROUPS, *kinds) for setting in declared(group))
