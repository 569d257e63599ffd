"""The records of jobs, in one SQLite file."""

from service.store.changes import Change, Changes, sees
from service.store.finished import Finished, Leftover, Totals
from service.store.free_space import FreeSpace
from service.store.lists import Page, Query
from service.store.order import Order, Position
from service.store.reserve import Reserve
from service.store.rows import readable
from service.store.schema import SchemaTooNew, StoreError
from service.store.selection import Selection
from service.store.store import DuplicateKey, Overtaken, Store

__all__ = [
    "Change",
    "Changes",
    "DuplicateKey",
    "Finished",
    "FreeSpace",
    "Leftover",
    "Order",
    "Overtaken",
    "Page",
    "Position",
    "Query",
    "Reserve",
    "SchemaTooNew",
    "Selection",
    "Store",
    "StoreError",
    "Totals",
    "readable",
    "sees",
]
