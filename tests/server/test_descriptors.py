"""A server has the file descriptors that its connections take, as far as the system lets it."""

import json
import subprocess
import sys

PROGRAM = """
import json, logging, resource, sys
from medxgan.server.descriptors import allow_connections
logging.basicConfig(handlers=[logging.NullHandler()])
lines = []
logging.getLogger("medxgan.server.descriptors").addFilter(lambda record: lines.append(record.msg) or True)
for soft, hard in json.loads(sys.argv[1]):  # the hard ones fall
    lines.clear()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    allow_connections(100)
    print(json.dumps([resource.getrlimit(resource.RLIMIT_NOFILE)[0], [line["event"] for line in lines]]))
"""


def test_the_soft_limit_is_raised_as_far_as_needed_and_allowed() -> None:
    limits = [(256, 1000), (800, 1000), (256, 400), (400, 400)]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(limits)], capture_output=True, text=True, check=True
    )
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        [612, []],
        [800, []],
        [400, ["few_descriptors"]],
        [400, ["few_descriptors"]],
    ]
