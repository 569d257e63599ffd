"""All settings, from one look at the environment."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import ClassVar, Final, TypeVar

from service.settings.declaration import PREFIX, declared, read_group
from service.settings.http import HttpSettings
from service.settings.jobs import JobSettings
from service.settings.privileges import PrivilegeSettings
from service.settings.readers import OF_JOBS
from service.settings.state import StateSettings, default_state_dir
from service.settings.unknown import OF_CLIENTS, Unknown, unknown_variables

# What a job may see of the service's environment, with all of the locale.
_BASE_VARIABLES: Final = frozenset({"PATH", "HOME", "USER", "LANG", "TZ"})
# Values of LC_CTYPE that Python sets for itself where there is no locale. Source: PEP 538.
_COERCED: Final = frozenset({"C.UTF-8", "C.utf8", "UTF-8"})
# Where bash and coreutils are when the service itself was started without a PATH.
_DEFAULT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What the programs that Kinds run commands with are told of the service's environment: how servers
# are reached, and where their own files are. A Kind adds what its programs need.
_PROGRAM_VARIABLES: Final = re.compile(
    r"(?:.*_PROXY|.*_proxy)|SSL_CERT_(?:FILE|DIR)|SSH_AUTH_SOCK"
    r"|XDG_(?:CONFIG_HOME|DATA_HOME|RUNTIME_DIR)|TMPDIR"
)


@dataclass(frozen=True, kw_only=True)
class KindSettings:
    """Base of the settings that a Kind brings; `passed_variables` are those of the service's
    environment that its programs get.
    """

    passed_variables: ClassVar[re.Pattern[str]]


_G = TypeVar("_G", bound=KindSettings)

# In the order of the documents.
GROUPS: Final[tuple[type, ...]] = (HttpSettings, StateSettings, JobSettings, PrivilegeSettings)


@dataclass(frozen=True, kw_only=True)
class Settings(HttpSettings, StateSettings, JobSettings, PrivilegeSettings):
    """The settings, read and validated.

    `base_environment` is what of the service's environment every program starts from,
    `program_environment` what those get besides that Kinds run commands with, and `passed` what
    those of one Kind alone get. `unknown` are the variables that look like settings and are none.
    `kinds` has the settings of each Kind.
    """

    base_environment: dict[str, str]
    program_environment: dict[str, str]
    passed: Mapping[type[KindSettings], Mapping[str, str]] = field(repr=False)
    unknown: tuple[Unknown, ...]
    kinds: Mapping[type[KindSettings], KindSettings] = field(repr=False)

    def of(self, group: type[_G]) -> _G:
        """The settings that a Kind brings. Raises: KeyError, when they weren't read."""
        found = self.kinds[group]
        assert isinstance(found, group)  # noqa: S101 - as they were made
        return found

    @property
    def service_environment(self) -> dict[str, str]:
        """All that a program gets which the service runs for a job as its own user."""
        return {**self.base_environment, **self.program_environment}

    def environment_for(self, group: type[KindSettings] | None) -> dict[str, str]:
        """The same for the programs of the Kind that brings these settings."""
        passed = {} if group is None else self.passed[group]
        return {**self.service_environment, **passed}

    @property
    def job_user_environment(self) -> dict[str, str]:
        """What every program starts from that runs as the jobs' user."""
        if (user := self.run_as) is None:
            return self.base_environment
        return {**self.base_environment, "HOME": user.home, "USER": user.name}

    @property
    def command_environment(self) -> dict[str, str]:
        """What every command of a job starts from that is the job's own program."""
        return {**self.job_user_environment, **self.job_environment.variables}

    @property
    def container_environment(self) -> dict[str, str]:
        """What every command in a container starts from: nothing that describes this host."""
        variables = self.job_environment.variables
        return {name: value for name, value in variables.items() if not _is_base(name)}

    def hand_on(self) -> None:
        """Have processes that this one starts from now on use the file of variables as this one has
        read it: a worker may start after the file was changed, or spoiled.
        """
        if self.job_environment.path:
            read = json.dumps(asdict(self.job_environment), ensure_ascii=False)
            os.environ[f"{PREFIX}JOB_ENVIRONMENT"] = read

    @classmethod
    def from_environment(
        cls,
        environment: Mapping[str, str] | None = None,
        kinds: Sequence[type[KindSettings]] = (),
    ) -> Settings:
        """The settings that `environment` (by default: this process's) gives, `kinds` too.

        Raises: SettingError.
        """
        env = dict(os.environ if environment is None else environment)
        env[f"{PREFIX}STATE_DIR"] = env.get(f"{PREFIX}STATE_DIR") or default_state_dir(env)
        base = {name: value for name, value in env.items() if _is_base(name)}
        if base.get("LC_CTYPE") in _COERCED and not base.keys() & {"LC_ALL", "LANG"}:
            del base["LC_CTYPE"]
        base.setdefault("PATH", _DEFAULT_PATH)
        program = {k: v for k, v in env.items() if _PROGRAM_VARIABLES.fullmatch(k)}
        passed = {
            group: {k: v for k, v in env.items() if group.passed_variables.fullmatch(k)}
            for group in kinds
        }
        known = [each.variable for group in (cls, *kinds) for each in declared(group)]
        return cls(
            **read_group(cls, env),
            base_environment=base,
            program_environment=program,
            passed=passed,
            unknown=unknown_variables(env, known, OF_JOBS | OF_CLIENTS),
            kinds={group: group(**read_group(group, env)) for group in kinds},
        )


def _is_base(name: str) -> bool:
    return name in _BASE_VARIABLES or name.startswith("LC_")
