"""Directories of jobs as archives, in both directions, in pieces: nothing is held whole."""

from __future__ import annotations

from service.files.archives.archive import FORMATS, Archive, Format, Incomplete
from service.files.archives.unpacking import PACKED, Unpacking

__all__ = ["FORMATS", "PACKED", "Archive", "Format", "Incomplete", "Unpacking"]
