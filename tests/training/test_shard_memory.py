"""Shards are read through in less memory than they would take."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from medxgan.training.data import LabelledImages
from medxgan.training.data.shards import ShardWriter

PEAK = """
import resource, sys
from itertools import islice
from pathlib import Path
from medxgan.training.data.source import ShardsData
from medxgan.training.preprocessing import Preprocess
from medxgan.training.streaming import ShardStream

folder, limit, batches = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
section = ShardsData(kind="shards", path=folder, lanes=2, open_shards=2, workers=0)
stream = ShardStream(section, folder, Preprocess(32, 0.5, 99.5, "crop")).batches(64)
next(stream)
with open("/proc/self/statm") as statm:
    taken = int(statm.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + limit, taken + limit))
print(sum(len(batch.x) for batch in islice(stream, batches)))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="asks Linux how much memory a process has")
def test_a_set_several_times_the_memory_is_read_through(tmp_path: Path) -> None:
    """A process that may take 48 MiB more than at its first batch reads 192 MiB of levels, and so fails if it keeps
    them. What it holds at a time are 2 lanes of 2 shards of 4 MiB, and what comes in their place."""
    levels = np.random.default_rng(0).integers(0, 256, (64, 256, 256), dtype=np.uint8)
    portion = LabelledImages(
        images=list(levels),
        labels=np.arange(64, dtype=np.uint8) % 2,
        patients=("",) * 64,
        sources=("",) * 64,
        ids=tuple(map(str, range(64))),
        inverted=np.zeros(64, dtype=np.bool_),
    )
    writer = ShardWriter(tmp_path / "set", 64, 0)
    for _ in range(48):
        writer.add(portion.split(np.zeros(64, dtype=np.bool_)))
    writer.finish()
    line = [sys.executable, "-c", PEAK, str(tmp_path / "set"), str(48 * 2**20), str(47)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
    outcome = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr
    assert int(outcome.stdout) == 47 * 64


def test_the_limit_of_memory_is_one_that_holds() -> None:
    """The test above relies on it."""
    line = "import resource as r; r.setrlimit(r.RLIMIT_AS, (2**28, 2**28)); bytearray(2**28)"
    outcome = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=False)
    assert "MemoryError" in outcome.stderr
    assert resource.RLIMIT_AS is not None
