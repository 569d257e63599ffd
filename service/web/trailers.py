"""Trailers: fields behind the last chunk of a response, for clients that ask for them.

A proxy may end a response cleanly though its connection to the service broke. It can't invent what
comes last, so who has it has all of the response. Sources: RFC 9110, sections 6.5 and 10.1.4; RFC
9112, section 7.1.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from service.web.request import Request

LAST_CHUNK = b"0\r\n"


def are_wanted(request: Request) -> bool:
    """Whether the client says `TE: trailers`, which it does only when it keeps what comes."""
    if "te" not in request.headers:
        return False
    given: Iterable[str] = request.headers.getall("te")
    return any(word.strip().lower() == "trailers" for line in given for word in line.split(","))


def end_of_chunks(fields: Mapping[str, str]) -> bytes:
    """The end of a chunked body, with the fields as trailers; values are printable ASCII."""
    lines = [f"{name}: {value}\r\n".encode("ascii") for name, value in fields.items()]
    return b"".join((LAST_CHUNK, *lines, b"\r\n"))
