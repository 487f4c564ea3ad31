"""Measures gradscope against the obvious ways, as ratios in one run: ``make bench``.

Importing it gives the process one BLAS thread, which only helps before NumPy is loaded.
"""

from __future__ import annotations

import os

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
