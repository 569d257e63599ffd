"""The records of jobs, in one SQLite file."""

from service.store.finished import Finished, Totals
from service.store.free_space import FreeSpace
from service.store.lists import Page, Query
from service.store.reserve import Reserve
from service.store.rows import readable
from service.store.schema import SchemaTooNew, StoreError
from service.store.store import DuplicateKey, Overtaken, Store

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
    "readable",
]
