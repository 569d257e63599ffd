"""How requests reach the service, and how many it takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from service.settings.declaration import setting
from service.settings.readers import (
    file_mode_or_none,
    file_or_none,
    group,
    host_names,
    hostname,
    integer,
    number,
    origins,
    path_prefix,
    socket_path,
)


@dataclass(frozen=True, kw_only=True)
class HttpSettings:
    """How requests reach the service, and how many it takes."""

    hostname: str = setting(
        hostname,
        "127.0.0.1",
        "a host name or an address to listen on",
        "where to listen, unless `--host` is given",
    )
    port: int = setting(
        integer(0, 65535),
        "8080",
        "a port number from 0 to 65535 (0: any free one)",
        "the port, unless `--port` is given",
    )
    socket: Path | None = setting(
        socket_path,
        "",
        "an absolute path of at most 107 bytes",
        "a Unix socket to listen on besides, without TLS and with the same tokens; clients take it"
        " as `JOBRUNNER_URL=unix://PATH`",
    )
    socket_mode: int | None = setting(
        file_mode_or_none,
        "",
        "three octal digits, such as 660",
        "the mode of the Unix sockets: who may write to one may connect; default: 600 for"
        " `JOBRUNNER_SOCKET`, 660 if `JOBRUNNER_SOCKET_GROUP` is set, and 666 for `--unix PATH`",
    )
    socket_group: int | None = setting(
        group,
        "",
        "a group of this host",
        "the group of the Unix sockets; default the service's own",
    )
    allowed_hosts: frozenset[str] = setting(
        host_names,
        "",
        "host names without ports, separated by commas, or '*' for any",
        "the names that the service may be called by besides those of loopback, which always hold"
        " over loopback; `/health/live` and `/health/ready` respond to any name",
    )
    allowed_origins: frozenset[str] = setting(
        origins,
        "",
        "origins such as https://ui.example.org, separated by commas, without a path, '*' or"
        " 'null'",
        "other sites whose pages may call the service from a browser, with a token (CORS); default:"
        " none",
    )
    prefix: str = setting(
        path_prefix,
        "",
        "a path such as /jobs, of letters, digits and '-._~', without a slash at its end",
        "the path under which a proxy has the service: `Location` and `Link` begin with it, and"
        " requests are taken with and without it, so the proxy may strip it or not",
    )
    rate_limit: float = setting(
        number(0, 1_000_000),
        "200",
        "a number of requests from 0 (off) to 1000000",
        "requests a second of one principal, on average, and in each worker; twice as many at once;"
        " 0: off",
    )
    auth_failures: float = setting(
        number(0, 1_000_000),
        "30",
        "a number of requests from 0 (off) to 1000000",
        "refused requests a minute (401 and 403) from one address, one /64 of IPv6, or one user of"
        " this host over a Unix socket, in each worker; further ones get 429; 0: off",
    )
    login_lifetime: int = setting(
        integer(60, 31_536_000),
        "604800",
        "whole seconds from 60 to 31536000",
        "seconds after which a login to the page ends; sooner when its token does",
    )
    request_timeout: int = setting(
        integer(1, 3600),
        "60",
        "whole seconds from 1 to 3600",
        "seconds in which a request must have arrived, head and body, from its first byte; for the"
        " first one of a connection, from when that was made",
    )
    max_requests: int = setting(
        integer(0, 1_000_000),
        "4000",
        "a whole number from 0 (off) to 1000000",
        "requests of one principal that are under way at a time in each worker, waits and attached"
        " readers among them, so that one can't take all connections; 0: off",
    )
    max_strangers: int = setting(
        integer(0, 1_000_000),
        "10000",
        "a whole number from 0 (off) to 1000000",
        "connections at a time in each worker over which nobody has shown a good token yet, a"
        " quarter of them from one address (neither loopback nor a Unix socket); when there is one"
        " more the oldest is closed; never more than three quarters of the descriptors; 0: no other"
        " bound",
    )
    max_readers: int = setting(
        integer(0, 1_000_000),
        "10000",
        "a whole number from 0 (off) to 1000000",
        "attached readers at a time in each worker, of whom each may cost half a megabyte of the"
        " kernel's memory when it doesn't read; 0: off",
    )
    max_followed_jobs: int = setting(
        # The cursor is as long as that, and comes back in the head of a request.
        integer(1, 500),
        "100",
        "a whole number from 1 to 500",
        "jobs whose output one reader of many jobs (`GET /attach?…`) is given at a time; the others"
        " are in their turn when one of those has ended. Each takes two open files of the worker,"
        " however many read it",
    )
    max_body: int = setting(
        integer(1024, 1 << 30),
        str(4 << 20),
        "a number of bytes from 1024 to 1073741824",
        "bytes of a request's body; Linux starts no program with more than 2 MiB of arguments and"
        " variables, unless its stack may be larger than usual",
    )
    max_upload: int = setting(
        integer(0, 1 << 50),
        "0",
        "a number of bytes from 0 (off) to 1125899906842624",
        "bytes of one file, or of one archive and of all in it, that is written to a job's"
        " directory; 0: as many as there is room for",
    )
    tls_client_ca: Path | None = setting(
        file_or_none,
        "",
        "an absolute path of a file with certificates",
        "the authority whose client certificates prove a principal: their common name is the"
        " name of a token (with Sanic's `--cert` and `--key`)",
    )
