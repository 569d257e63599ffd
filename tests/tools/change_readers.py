"""Consumers of streams of records: what a client of `/events` does."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from running import Service

Record = dict[str, Any]
# What a consumer sees of a service that was killed.
GONE = (httpx.TransportError, httpx.HTTPStatusError)


@contextmanager
def records(
    service: Service, path: str, headers: dict[str, str] | None = None, **parameters: Any
) -> Iterator[Iterator[Record]]:
    """The records of an answer as NDJSON, but for heartbeats, one by one as they come."""
    accept = {"Accept": "application/x-ndjson", **(headers or {})}
    with httpx.Client(base_url=service.url, timeout=60) as client:
        with client.stream("GET", path, headers=accept, params=parameters) as answer:
            answer.raise_for_status()
            lines = (json.loads(line) for line in answer.iter_lines())
            yield (record for record in lines if record["Type"] != "heartbeat")


def changes(service: Service, **parameters: Any) -> list[Record]:
    """All changes that there are."""
    with records(service, "/events", **parameters) as found:
        return list(found)


class Consumer:
    """Follows `/events`, and keeps what it needs to go on after any end. `known`: the last record
    of each job by ID, in the order in which they came."""

    def __init__(self) -> None:
        self.after = 0
        self.known: dict[str, Record] = {}

    def take(self, record: Record) -> None:
        assert record["Seq"] > self.after, (record, self.after)
        self.after = record["Seq"]
        self.known.pop(record["ID"], None)
        self.known[record["ID"]] = record

    def follow(self, service: Service, records_at_most: int) -> None:
        """Until the service is gone, or so many records have come."""
        try:
            with records(service, "/events", follow="true", after=self.after) as found:
                for _, record in zip(range(records_at_most), found, strict=False):
                    self.take(record)
        except GONE:
            pass  # it goes on with the next one


class Follower:
    """Follows `/attach?…`, and goes on behind the last record after any end. Each byte must come
    once: `output` by job, `ends` the end records by job."""

    def __init__(self, service: Service, **parameters: Any) -> None:
        self._parameters = parameters
        self.service = service
        self.cursor: str | None = None
        self.output: dict[str, bytes] = {}
        self.ends: dict[str, Record] = {}

    def take(self, record: Record) -> None:
        job, self.cursor = record["Job"], record["Cursor"]
        assert job not in self.ends, "a record behind the end"
        known = self.output.setdefault(job, b"")
        if record["Type"] == "output":
            assert record["Offset"] == len(known)
            data = base64.b64decode(record["Data"]) if "Data" in record else record["Text"].encode()
            assert record["End"] == len(known) + len(data)
            self.output[job] = known + data
        else:
            assert record["Type"] == "end"
            self.ends[job] = record

    def follow(self, *, records_at_most: int = 1 << 30, ends: int = 1 << 30) -> None:
        """Until the service is gone, so many records have come, or so many jobs have ended."""
        parameters = {**self._parameters, **({"after": self.cursor} if self.cursor else {})}
        if len(self.ends) >= ends:
            return
        try:
            with records(self.service, "/attach", **parameters) as found:
                for number, record in enumerate(found, 1):
                    self.take(record)
                    if number >= records_at_most or len(self.ends) >= ends:
                        break
        except GONE:
            pass
