"""The records of jobs, in one SQLite file."""

from service.store.free_space import FreeSpace
from service.store.reserve import Reserve
from service.store.schema import SchemaTooNew, StoreError
from service.store.store import DuplicateKey, Finished, Overtaken, Page, Query, Store, Totals

__all__ = [
    "DuplicateKey",
    "Finished",
    "FreeSpace",
    "Overtaken",
    "Page",
    "Query",
    "Reserve",
    "SchemaTooNew",
    "Store",
    "StoreError",
    "Totals",
]
