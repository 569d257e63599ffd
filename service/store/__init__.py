"""The records of jobs, in one SQLite file."""

from service.store.schema import SchemaTooNew, StoreError
from service.store.store import DuplicateKey, Page, Query, Store

__all__ = ["DuplicateKey", "Page", "Query", "SchemaTooNew", "Store", "StoreError"]
