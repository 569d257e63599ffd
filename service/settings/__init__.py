"""Everything from the environment, once. Each setting is declared once; a wrong one is refused with
a sentence.

Sizes are plain bytes, times plain seconds, 0 is off where off makes sense. An empty variable counts
as unset, as it does for compose files and unit files. A Kind brings settings of its own
(`service.kinds.settings`).
"""

from __future__ import annotations

from service.settings.declaration import PREFIX, Setting, SettingError, declared, setting
from service.settings.settings import GROUPS, KindSettings, Settings
from service.settings.values import OnShutdown, Percentage, RunAs

__all__ = [
    "GROUPS",
    "PREFIX",
    "KindSettings",
    "OnShutdown",
    "Percentage",
    "RunAs",
    "Setting",
    "SettingError",
    "Settings",
    "declared",
    "setting",
]
