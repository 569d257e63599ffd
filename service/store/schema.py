"""The schema and its versions: each migration leads one version forwards, in one transaction.

`PRAGMA user_version` holds the version. A file of a newer version is refused, never touched.
"""

from __future__ import annotations

import sqlite3
from typing import Final


class StoreError(Exception):
    """The store can't be used; the message is a sentence for the operator."""


class SchemaTooNew(StoreError):
    """The file was written by a newer release."""


# In `jobs`, whatever a list needs comes before what only a view needs. The spec, up to megabytes,
# stands apart: SQLite writes a whole row at each update.
_V1: Final = """
CREATE TABLE jobs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL,
    name TEXT,
    reason TEXT,
    exit_code INTEGER,
    signal TEXT,
    error TEXT,
    created_at INTEGER NOT NULL,
    started_at INTEGER,
    finished_at INTEGER,
    asked INTEGER NOT NULL,
    output_bytes INTEGER,
    output_complete INTEGER NOT NULL,
    idempotency_key TEXT,
    idempotency_hash BLOB,
    labels TEXT,
    kill TEXT,
    commands TEXT NOT NULL
);
CREATE INDEX jobs_by_state ON jobs (state, seq);
CREATE INDEX jobs_by_name ON jobs (name, seq) WHERE name IS NOT NULL;
CREATE UNIQUE INDEX jobs_by_key ON jobs (idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE TABLE specs (
    seq INTEGER PRIMARY KEY REFERENCES jobs (seq) ON DELETE CASCADE,
    spec TEXT NOT NULL
);
CREATE TABLE labels (
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    seq INTEGER NOT NULL REFERENCES jobs (seq) ON DELETE CASCADE,
    PRIMARY KEY (key, value, seq)
) WITHOUT ROWID;
CREATE INDEX labels_by_job ON labels (seq);
CREATE TABLE cleaned (id TEXT PRIMARY KEY) WITHOUT ROWID;
"""

MIGRATIONS: Final = (_V1,)
VERSION: Final = len(MIGRATIONS)


def migrate(connection: sqlite3.Connection) -> None:
    """Lead the file to VERSION. Raises: SchemaTooNew; sqlite3.Error."""
    while True:
        connection.execute("BEGIN IMMEDIATE")
        try:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version > VERSION:
                raise SchemaTooNew(
                    f"The records have schema version {version}, this release knows {VERSION};"
                    " start a release that is as new as the one that wrote them."
                )
            if version == VERSION:
                return
            for statement in MIGRATIONS[version].split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {version + 1}")
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
