"""A strict look at the raw head of a request, before Sanic reads it.

What two programs read differently lets one request hide in another (smuggling): a proxy in front of
us sees one, we would see two. So whatever is not plainly written is refused with 400 and the
connection is closed. Source: RFC 9112, sections 2.2, 3.2, 5.1, 6.1 and 6.3.
"""

from __future__ import annotations

import re
from typing import Final

_REQUEST_LINE: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+ [!-~]+ HTTP/1\.[01]")
# A field name is a token, with nothing between it and the colon; a value has no control characters
# but the tab, and a line that begins with a blank (obs-fold) is no field.
_FIELD: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*")
# A name or an IPv4 address, or an IPv6 address in brackets; then a port. Source: RFC 3986, 3.2.2.
_HOST: Final = re.compile(rb"(?:[0-9A-Za-z._-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")


class UnclearHead(Exception):
    """The head can be read in more than one way; the message says where."""


def check_head(head: bytes) -> None:
    """Raises: UnclearHead, unless `head` (without its last empty line) has one meaning."""
    request_line, *fields = head.split(b"\r\n")
    if not _REQUEST_LINE.fullmatch(request_line):
        raise UnclearHead("the request line")
    lengths: list[bytes] = []
    codings: list[bytes] = []
    hosts: list[bytes] = []
    for field in fields:
        if not _FIELD.fullmatch(field):
            raise UnclearHead("a header line")
        name, _, value = field.partition(b":")
        match name.lower():
            case b"content-length":
                lengths.append(value.strip(b" \t"))
            case b"transfer-encoding":
                codings.append(value.strip(b" \t").lower())
            case b"host":
                hosts.append(value.strip(b" \t"))
    if len(lengths) + len(codings) > 1:
        raise UnclearHead("the length of the body")
    if lengths and not re.fullmatch(rb"[0-9]{1,19}", lengths[0]):
        raise UnclearHead("Content-Length")
    if codings and (codings != [b"chunked"] or request_line.endswith(b"1.0")):
        raise UnclearHead("Transfer-Encoding")
    if len(hosts) > 1 or (not hosts and request_line.endswith(b"1.1")):
        raise UnclearHead("Host")
    if hosts and not _HOST.fullmatch(hosts[0]):
        raise UnclearHead("Host")
