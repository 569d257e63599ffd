"""The schema and its migrations, from each version to the next, in one transaction each.

`PRAGMA user_version` holds the version. A file of a newer version is refused, and not changed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Final


class StoreError(Exception):
    """The store can't be used; the message is a sentence for the operator."""


class SchemaTooNew(StoreError):
    """The file was written by a newer release."""


# In `jobs`, the columns of a list come before those of a view. The spec, up to megabytes, has a
# table of its own, as SQLite writes a whole row at each update. `finished` is one row, kept by
# triggers: the sums that retention needs, which would otherwise be a scan of all finished jobs.
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
    disk_bytes INTEGER,
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
CREATE INDEX jobs_by_end ON jobs (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX jobs_unmeasured ON jobs (seq) WHERE finished_at IS NOT NULL AND disk_bytes IS NULL;
CREATE TABLE finished (jobs INTEGER NOT NULL, disk_bytes INTEGER NOT NULL);
INSERT INTO finished VALUES (0, 0);
CREATE TRIGGER finished_by_insert AFTER INSERT ON jobs WHEN NEW.finished_at IS NOT NULL BEGIN
    UPDATE finished SET jobs = jobs + 1, disk_bytes = disk_bytes + coalesce(NEW.disk_bytes, 0);
END;
CREATE TRIGGER finished_by_update AFTER UPDATE OF finished_at, disk_bytes ON jobs
WHEN NEW.finished_at IS NOT OLD.finished_at OR NEW.disk_bytes IS NOT OLD.disk_bytes BEGIN
    UPDATE finished SET
        jobs = jobs + (NEW.finished_at IS NOT NULL) - (OLD.finished_at IS NOT NULL),
        disk_bytes = disk_bytes + coalesce(NEW.disk_bytes, 0) - coalesce(OLD.disk_bytes, 0);
END;
CREATE TRIGGER finished_by_delete AFTER DELETE ON jobs WHEN OLD.finished_at IS NOT NULL BEGIN
    UPDATE finished SET jobs = jobs - 1, disk_bytes = disk_bytes - coalesce(OLD.disk_bytes, 0);
END;
"""

# The principal of a job; idempotency keys are unique for each principal.
_V2: Final = """
ALTER TABLE jobs ADD COLUMN owner TEXT;
CREATE INDEX jobs_by_owner ON jobs (owner, state, seq) WHERE owner IS NOT NULL;
DROP INDEX jobs_by_key;
CREATE UNIQUE INDEX jobs_by_key ON jobs (idempotency_key, coalesce(owner, ''))
WHERE idempotency_key IS NOT NULL;
"""

# How many of the finished jobs were killed: counting jobs by state needs no scan of them.
_V3: Final = """
ALTER TABLE finished ADD COLUMN killed INTEGER NOT NULL DEFAULT 0;
UPDATE finished SET killed =
    (SELECT count(*) FROM jobs WHERE state = 'killed' AND finished_at IS NOT NULL);
DROP TRIGGER finished_by_insert;
DROP TRIGGER finished_by_update;
DROP TRIGGER finished_by_delete;
CREATE TRIGGER finished_by_insert AFTER INSERT ON jobs WHEN NEW.finished_at IS NOT NULL BEGIN
    UPDATE finished SET
        jobs = jobs + 1,
        killed = killed + (NEW.state = 'killed'),
        disk_bytes = disk_bytes + coalesce(NEW.disk_bytes, 0);
END;
CREATE TRIGGER finished_by_update AFTER UPDATE OF finished_at, disk_bytes ON jobs
WHEN NEW.finished_at IS NOT OLD.finished_at OR NEW.disk_bytes IS NOT OLD.disk_bytes BEGIN
    UPDATE finished SET
        jobs = jobs + (NEW.finished_at IS NOT NULL) - (OLD.finished_at IS NOT NULL),
        killed = killed + (NEW.finished_at IS NOT NULL AND NEW.state = 'killed')
            - (OLD.finished_at IS NOT NULL AND OLD.state = 'killed'),
        disk_bytes = disk_bytes + coalesce(NEW.disk_bytes, 0) - coalesce(OLD.disk_bytes, 0);
END;
CREATE TRIGGER finished_by_delete AFTER DELETE ON jobs WHEN OLD.finished_at IS NOT NULL BEGIN
    UPDATE finished SET
        jobs = jobs - 1,
        killed = killed - (OLD.state = 'killed'),
        disk_bytes = disk_bytes - coalesce(OLD.disk_bytes, 0);
END;
"""

# The limit on running jobs of the token that submitted a job.
_V4: Final = """
ALTER TABLE jobs ADD COLUMN max_running INTEGER NOT NULL DEFAULT 0;
"""

# Optimistic locking: a change is stored only on the revision that it was made of, so a process that
# was stopped while others went on overwrites nothing when it wakes.
_V5: Final = """
ALTER TABLE jobs ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
"""

# The terms of the rest of the code: the principal that submitted a job, the last command that was
# dispatched to the supervisor. Renaming a column rewrites no row, and renames it in every index,
# trigger and constraint.
_V6: Final = """
ALTER TABLE jobs RENAME COLUMN owner TO principal;
ALTER TABLE jobs RENAME COLUMN asked TO dispatched;
DROP INDEX jobs_by_owner;
CREATE INDEX jobs_by_principal ON jobs (principal, state, seq) WHERE principal IS NOT NULL;
"""

# An idempotency key stands in `jobs` as long as its job does, and in `kept_keys` from then on. What
# lists select and order by has columns and indexes (`service.store.selection`).
_V7: Final = """
CREATE TABLE kept_keys (
    principal TEXT NOT NULL,
    key TEXT NOT NULL,
    hash BLOB NOT NULL,
    job TEXT NOT NULL,
    cleaned_at INTEGER NOT NULL,
    PRIMARY KEY (principal, key)
) WITHOUT ROWID;
CREATE INDEX kept_keys_by_age ON kept_keys (cleaned_at);
ALTER TABLE jobs ADD COLUMN cpu_us INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN memory_bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN priority INTEGER;
ALTER TABLE jobs ADD COLUMN priority_changes INTEGER NOT NULL DEFAULT 0;
WITH usage AS (
    SELECT seq,
        max(iif(key = 'cpu_s', cast(atom * 1e6 AS INTEGER), 0)) AS cpu_us,
        max(iif(key = 'peak_bytes', cast(atom AS INTEGER), 0)) AS memory_bytes
    FROM jobs, json_tree(iif(typeof(commands) = 'text' AND json_valid(commands), commands, '[]'))
    WHERE key IN ('cpu_s', 'peak_bytes') AND json_tree.type IN ('integer', 'real')
    GROUP BY seq
)
UPDATE jobs SET cpu_us = usage.cpu_us, memory_bytes = usage.memory_bytes
FROM usage WHERE jobs.seq = usage.seq;
CREATE INDEX jobs_by_creation ON jobs (created_at) WHERE state IN ('exited', 'killed');
CREATE INDEX jobs_by_exit ON jobs (exit_code, state)
WHERE exit_code IS NOT 0 AND state IN ('exited', 'killed');
CREATE INDEX jobs_by_reason ON jobs (reason, state) WHERE reason IS NOT NULL;
CREATE INDEX jobs_by_cpu ON jobs (cpu_us) WHERE state IN ('exited', 'killed');
CREATE INDEX jobs_by_memory ON jobs (memory_bytes) WHERE state IN ('exited', 'killed');
CREATE INDEX jobs_by_output ON jobs (coalesce(output_bytes, 0)) WHERE state IN ('exited', 'killed');
CREATE TABLE leftovers (
    id TEXT PRIMARY KEY,
    path TEXT NOT NULL,
    why TEXT NOT NULL,
    tried_at INTEGER NOT NULL
) WITHOUT ROWID;
"""

# The number of each job's last change (`service.store.changes`). The principal is in the index, so
# that a caller who sees few of the jobs reads no rows of others. A cleaned job leaves a tombstone.
# `origin` tells a cursor of these records from one of others.
#
# Indexes that only lists need hold jobs whose size was measured: that is stored for many jobs in
# one transaction, in which an index costs a page of the log for all of them, not one for each.
_V8: Final = """
ALTER TABLE jobs ADD COLUMN changed INTEGER NOT NULL DEFAULT 0;
UPDATE jobs SET changed = seq;
CREATE INDEX jobs_by_change ON jobs (changed, principal);
CREATE TABLE tombstones (
    changed INTEGER PRIMARY KEY,
    job INTEGER NOT NULL,
    id TEXT NOT NULL,
    principal TEXT,
    cleaned_at INTEGER NOT NULL
);
CREATE TABLE origin (number INTEGER NOT NULL);
INSERT INTO origin VALUES (random() & 0xffffffff);
DROP INDEX jobs_by_creation;
DROP INDEX jobs_by_cpu;
DROP INDEX jobs_by_memory;
DROP INDEX jobs_by_output;
CREATE INDEX jobs_by_creation ON jobs (created_at) WHERE disk_bytes IS NOT NULL;
CREATE INDEX jobs_by_cpu ON jobs (cpu_us) WHERE disk_bytes IS NOT NULL;
CREATE INDEX jobs_by_memory ON jobs (memory_bytes) WHERE disk_bytes IS NOT NULL;
CREATE INDEX jobs_by_output ON jobs (coalesce(output_bytes, 0)) WHERE disk_bytes IS NOT NULL;
"""

MIGRATIONS: Final = (_V1, _V2, _V3, _V4, _V5, _V6, _V7, _V8)
VERSION: Final = len(MIGRATIONS)


def migrate(connection: sqlite3.Connection) -> None:
    """Migrate the file to VERSION. Raises: SchemaTooNew; sqlite3.Error."""
    # Read first without a write lock: with nothing to do, it waits for no other writer.
    while _version_of(connection) < VERSION:
        connection.execute("BEGIN IMMEDIATE")
        try:
            version = _version_of(connection)
            if version == VERSION:
                return
            for statement in _statements(MIGRATIONS[version]):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {version + 1}")
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")


def _version_of(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise SchemaTooNew(
            f"The records have schema version {version}, this release knows {VERSION};"
            " start a release that is as new as the one that wrote them."
        )
    return int(version)


def _statements(script: str) -> Iterator[str]:
    # A trigger has semicolons of its own; `executescript` would commit first.
    statement = ""
    for part in script.strip().removesuffix(";").split(";"):
        statement += f"{part};"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement:
        yield statement
