"""Programs of others, by name."""

import subprocess
from collections.abc import Callable

Program = Callable[..., subprocess.CompletedProcess[str]]
