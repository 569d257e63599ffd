"""Each request about files of a job, built; no I/O."""

from __future__ import annotations

from urllib.parse import quote_from_bytes

import msgspec

from service.client.bodies import Content, body_of
from service.client.requests import id_in_path
from service.client.steps import Request


class Conditions(msgspec.Struct, frozen=True, kw_only=True):
    """When a file is written. `if_match`: only in the place of that version; `only_new`: only where
    there is none.
    """

    mode: int | None = None
    if_match: str | None = None
    only_new: bool = False


def list_request(
    job_id: str, path: str | bytes, after: str | None, size: int, *, recursive: bool
) -> Request:
    """A page of a directory."""
    query = [("limit", f"{size}")]
    if recursive:
        query.append(("recursive", "true"))
    if after is not None:
        query.append(("after", after))
    return Request(path=_url(job_id, _directory(path)), query=tuple(query))


def head_request(job_id: str, path: str | bytes) -> Request:
    """What is at the path."""
    return Request(method="HEAD", path=_url(job_id, path))


def read_request(job_id: str, path: str | bytes, offset: int, version: str | None) -> Request:
    """A file from a byte on, of that version."""
    headers = [("Range", f"bytes={offset}-")] if offset else []
    if version is not None:
        headers.append(("If-Match", version))
    return Request(path=_url(job_id, path), headers=tuple(headers))


def archive_request(job_id: str, path: str | bytes, form: str) -> Request:
    """A directory as an archive. What was sent of one isn't sent again."""
    return Request(
        path=_url(job_id, _directory(path)), query=(("archive", form),), is_repeatable=False
    )


def write_request(
    job_id: str, path: str | bytes, content: Content, conditions: Conditions
) -> Request:
    """Write a file. Under a condition a repeat would fail after the first has done it."""
    headers = [("Content-Type", "application/octet-stream")]
    if conditions.if_match is not None:
        headers.append(("If-Match", conditions.if_match))
    if conditions.only_new:
        headers.append(("If-None-Match", "*"))
    mode = conditions.mode
    return Request(
        method="PUT",
        path=_url(job_id, path),
        query=() if mode is None else (("mode", f"{mode:04o}"),),
        headers=tuple(headers),
        body=body_of(content),
        is_repeatable=conditions.if_match is None and not conditions.only_new,
    )


def extract_request(job_id: str, path: str | bytes, content: Content, form: str) -> Request:
    """Unpack an archive into a directory."""
    return Request(
        method="PUT",
        path=_url(job_id, _directory(path)),
        query=(("extract", form),),
        headers=(("Content-Type", "application/octet-stream"),),
        body=body_of(content),
    )


def delete_request(job_id: str, path: str | bytes, *, recursive: bool) -> Request:
    """Remove a file. A repeat would tell of an unknown one."""
    query = (("recursive", "true"),) if recursive else ()
    return Request(method="DELETE", path=_url(job_id, path), query=query, is_repeatable=False)


def release_request(job_id: str) -> Request:
    """Let a held job run."""
    return Request(method="POST", path=f"/{id_in_path(job_id)}/release")


def _url(job_id: str, path: str | bytes) -> str:
    """Bytes that aren't UTF-8 may stand in text as lone surrogates, as `os.fsdecode` has them."""
    if isinstance(path, str):
        path = path.encode(errors="surrogateescape")
    return f"/{id_in_path(job_id)}/files/{quote_from_bytes(path)}"


def _directory(path: str | bytes) -> str | bytes:
    """With a slash at its end, so that a file isn't taken for one."""
    if isinstance(path, bytes):
        return path.rstrip(b"/") + b"/" if path.rstrip(b"/") else b""
    return path.rstrip("/") + "/" if path.rstrip("/") else ""
