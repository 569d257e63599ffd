"""The records of jobs, in one SQLite file."""

from service.store.schema import SchemaTooNew, StoreError
from service.store.store import DuplicateKey, Finished, Page, Query, Store, Totals

__all__ = [
    "DuplicateKey",
    "Finished",
    "Page",
    "Query",
    "SchemaTooNew",
    "Store",
    "StoreError",
    "Totals",
]
