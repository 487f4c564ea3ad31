"""Store: the runs of sweeps in one SQLite file that can be read while it is written.

The file is in WAL mode where the file system allows it. Arrays are raw little-endian blobs beside their dtype and
shape, everything else is numbers, text or strict JSON: no pickle, so a file from a stranger is safe to open. What the
tables are is written in :mod:`gradscope.store.schema`.
"""

from __future__ import annotations

from gradscope.store.conditions import Condition
from gradscope.store.overview import FIXED, Page, Span
from gradscope.store.owners import SILENT
from gradscope.store.rows import WHOLE, Results
from gradscope.store.schema import SCHEMA
from gradscope.store.writer import Store

__all__ = ["FIXED", "SCHEMA", "SILENT", "WHOLE", "Condition", "Page", "Results", "Span", "Store"]
