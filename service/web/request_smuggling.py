"""A strict check of a request's raw head, before Sanic parses it.

A head that two parsers read differently allows request smuggling: a proxy in front of the service
sees one request, the service would see two. An ambiguous head gets a 400, and its connection is
closed. Source: RFC 9112, sections 2.2, 3.2, 5.1, 6.1 and 6.3.
"""

from __future__ import annotations

import re
from typing import Final

_REQUEST_LINE: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+ [!-~]+ HTTP/1\.[01]")
# A field name is a token, directly followed by the colon; a value has no control characters except
# the tab. A line that begins with a blank (obs-fold) is refused.
_FIELD: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*")
# A name or an IPv4 address, or an IPv6 address in brackets; then a port. Source: RFC 3986, 3.2.2.
_HOST: Final = re.compile(rb"(?:[0-9A-Za-z._-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")


class AmbiguousHead(Exception):
    """Parsers may disagree about the head; the message names the part."""


def check_head(head: bytes) -> None:
    """`head` comes without its final empty line. Raises: AmbiguousHead."""
    request_line, *fields = head.split(b"\r\n")
    if not _REQUEST_LINE.fullmatch(request_line):
        raise AmbiguousHead("the request line")
    lengths: list[bytes] = []
    codings: list[bytes] = []
    hosts: list[bytes] = []
    for field in fields:
        if not _FIELD.fullmatch(field):
            raise AmbiguousHead("a header line")
        name, _, value = field.partition(b":")
        match name.lower():
            case b"content-length":
                lengths.append(value.strip(b" \t"))
            case b"transfer-encoding":
                codings.append(value.strip(b" \t").lower())
            case b"host":
                hosts.append(value.strip(b" \t"))
    if len(lengths) + len(codings) > 1:
        raise AmbiguousHead("the length of the body")
    if lengths and not re.fullmatch(rb"[0-9]{1,19}", lengths[0]):
        raise AmbiguousHead("Content-Length")
    if codings and (codings != [b"chunked"] or request_line.endswith(b"1.0")):
        raise AmbiguousHead("Transfer-Encoding")
    if len(hosts) > 1 or (not hosts and request_line.endswith(b"1.1")):
        raise AmbiguousHead("Host")
    if hosts and not _HOST.fullmatch(hosts[0]):
        raise AmbiguousHead("Host")
