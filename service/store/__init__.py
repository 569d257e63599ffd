"""The records of jobs, in one SQLite file."""

from service.store.reserve import Reserve
from service.store.schema import SchemaTooNew, StoreError
from service.store.store import DuplicateKey, Finished, Page, Query, Store, Totals

__all__ = [
    "DuplicateKey",
    "Finished",
    "Page",
    "Query",
    "Reserve",
    "SchemaTooNew",
    "Store",
    "StoreError",
    "Totals",
]
