"""A run folder of the averaged weights alone: what a bundle is made of, and small enough to be kept with the code.

python -m medxgan.training.keep_run RUN FOLDER
"""

import argparse
import shutil
from pathlib import Path

from medxgan.training.checkpoint import keep_weights
from medxgan.training.runs import Run


def keep_run(run: Run, out: Path) -> None:
    """Write what a bundle is made of to another run folder: the averaged networks, and the measures of familiarity."""
    out.mkdir(parents=True, exist_ok=True)
    shutil.copy(run.folder / "options.json", out)
    kept = Run.open(out)
    keep_weights(run.checkpoint("classifier"), {"classifier": "classifier"}, kept.checkpoint("classifier"))
    if run.has("generator"):
        names = {name: name for name in ("average.generator", "average.encoder")}
        keep_weights(run.checkpoint("generator"), names, kept.checkpoint("generator"))
    if run.has("refinement"):
        keep_weights(run.checkpoint("refinement"), {"residual": "residual"}, kept.checkpoint("refinement"))
    familiarity = run.familiarity()
    if familiarity is not None:
        kept.save_familiarity(familiarity)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    keep_run(Run.open(given.run), given.out)


if __name__ == "__main__":
    main()
