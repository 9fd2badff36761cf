"""Generate the protobuf modules beside the .proto files: `python protos/generate.py [--check]`.

`third_party/buf_validate.binpb` is the descriptor of protovalidate's `buf/validate/validate.proto`
(Apache-2.0, Buf Technologies), so that generation needs no network.
"""

import argparse
import sys
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory

from grpc_tools import protoc

PROTOS = Path(__file__).parent
VALIDATE = "buf/validate/validate.proto"
MESSAGES = ["medxgan/v1/bundle.proto", "medxgan/v1/explanation.proto"]
SERVICES = ["medxgan/v1/explanation.proto"]
OPEN_INFERENCE = "medxgan/open_inference/open_inference.proto"
"""A foreign contract. No module registers its messages: a process that has a client of Triton has others of the same
names. Only descriptors and types are made of it, and buf, whose rules its names break, does not see it."""


def run_protoc(*arguments: str) -> None:
    """Run the pinned protoc on the product's .proto files."""
    includes = [f"-I{PROTOS}", f"-I{files('grpc_tools') / '_proto'}"]
    imports = f"--descriptor_set_in={PROTOS / 'third_party' / 'buf_validate.binpb'}"
    if protoc.main(["protoc", imports, *includes, *arguments]) != 0:
        sys.exit("protoc failed")


def generate(into: Path) -> None:
    """Write the `*_pb2*.py(i)` modules and the descriptors of Open Inference under `into`."""
    run_protoc(f"--python_out={into}", f"--pyi_out={into}", VALIDATE, *MESSAGES)
    run_protoc(f"--grpc_python_out={into}", *SERVICES)
    descriptors = into / Path(OPEN_INFERENCE).with_name("descriptors.binpb")
    descriptors.parent.mkdir(parents=True, exist_ok=True)
    run_protoc(f"--pyi_out={into}", f"--descriptor_set_out={descriptors}", OPEN_INFERENCE)


def write_image(into: Path) -> None:
    """Write `image.binpb`: all descriptors with their comments, for `buf lint` and `buf breaking`."""
    image = f"--descriptor_set_out={into / 'image.binpb'}"
    run_protoc("--include_imports", "--include_source_info", image, *MESSAGES)


def generated(folder: Path) -> list[Path]:
    """What is generated of the files of a folder, relative to it."""
    found = [*folder.rglob("*_pb2*.py"), *folder.rglob("*_pb2*.pyi"), *folder.rglob("descriptors.binpb")]
    return sorted(file.relative_to(folder) for file in found)


def check() -> None:
    """Exit with an error where a checked-in file is not what the .proto files make today."""
    with TemporaryDirectory() as folder:
        fresh = Path(folder)
        generate(fresh)
        made, kept = generated(fresh), generated(PROTOS)
        stale = [file for file in made if file in kept and (fresh / file).read_bytes() != (PROTOS / file).read_bytes()]
        if made != kept or stale:
            differing = ", ".join(map(str, stale or sorted(set(made) ^ set(kept))))
            sys.exit(f"differs from what the .proto files make, run `make protos`: {differing}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--into", type=Path, default=PROTOS, help="folder to write to")
    parser.add_argument("--image", action="store_true", help="write image.binpb, for buf, instead of modules")
    parser.add_argument("--check", action="store_true", help="compare with what is checked in, write nothing")
    options = parser.parse_args()
    if options.check:
        check()
    else:
        (write_image if options.image else generate)(options.into)
