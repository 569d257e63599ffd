"""Heads that can be read in two ways are refused; those that programs send are not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.web.request_smuggling import AmbiguousHead, check_head

GOOD = [
    b"GET / HTTP/1.1\r\nHost: localhost",
    b"GET / HTTP/1.0",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked ",
    b"GET /?a=b%20c HTTP/1.1\r\nhost:a\r\nX-Empty:\r\nX-Latin: \xe4\r\nX-Tab: a\tb",
]
BAD = {
    "no host": b"GET / HTTP/1.1",
    "two hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: a",
    "blank before the colon": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 5",
    "bare LF": b"GET / HTTP/1.1\r\nHost: a\nX: b",
    "bare CR": b"GET / HTTP/1.1\r\nHost: a\rX: b",
    "NUL": b"GET / HTTP/1.1\r\nHost: a\r\nX: \0",
    "folded": b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c",
    "no colon": b"GET / HTTP/1.1\r\nHost: a\r\nX",
    "empty name": b"GET / HTTP/1.1\r\nHost: a\r\n: x",
    "two lengths": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5",
    "length and coding": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked",
    "a sign": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5",
    "a list": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5",
    "other digits": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \xd9\xa5",
    "no digits": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:",
    "hex": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5",
    "other coding": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked",
    "hidden coding": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked",
    "coding of 1.0": b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked",
    "other version": b"GET / HTTP/2.0\r\nHost: a",
    "four words": b"GET / x HTTP/1.1\r\nHost: a",
    "tab for a space": b"GET\t/ HTTP/1.1\r\nHost: a",
    "control in the path": b"GET /\x01 HTTP/1.1\r\nHost: a",
    "line end before": b"\r\nGET / HTTP/1.1\r\nHost: a",
}


@pytest.mark.parametrize("head", GOOD)
def test_what_programs_send_passes(head):
    check_head(head)


@pytest.mark.parametrize("name", BAD)
def test_what_has_two_meanings_does_not(name):
    with pytest.raises(AmbiguousHead):
        check_head(BAD[name])


@given(st.binary(max_size=200))
def test_anything_is_either_clear_or_refused(rest):
    try:
        check_head(b"GET / HTTP/1.1\r\nHost: a\r\n" + rest)
    except AmbiguousHead:
        return
    assert b"\n" not in rest.replace(b"\r\n", b"")
    assert b"\0" not in rest
