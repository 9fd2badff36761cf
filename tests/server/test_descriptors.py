"""A server has the file descriptors that its connections take, as far as the system lets it."""

import json
import subprocess
import sys

import pytest

PROGRAM = """
import json, logging, resource, sys
from medxgan.server.descriptors import allow_connections
logging.basicConfig(handlers=[logging.NullHandler()])
lines = []
logging.getLogger("medxgan.server.descriptors").addFilter(lambda record: lines.append(record.msg) or True)
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
allow_connections(100)
print(json.dumps([resource.getrlimit(resource.RLIMIT_NOFILE)[0], [line["event"] for line in lines]]))
"""


@pytest.mark.parametrize(
    ("soft", "hard", "allowed", "told"),
    [
        (256, 1000, 612, []),
        (800, 1000, 800, []),
        (256, 400, 400, ["few_descriptors"]),
        (400, 400, 400, ["few_descriptors"]),
    ],
)
def test_the_soft_limit_is_raised_as_far_as_needed_and_allowed(
    soft: int, hard: int, allowed: int, told: list[str]
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(soft), str(hard)], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == [allowed, told]
