"""Generate the protobuf modules beside the .proto files: `python protos/generate.py [--into DIRECTORY]`.

`third_party/buf_validate.binpb` is the descriptor of protovalidate's `buf/validate/validate.proto`
(Apache-2.0, Buf Technologies), so that generation needs no network.
"""

import argparse
import sys
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

PROTOS = Path(__file__).parent
VALIDATE = "buf/validate/validate.proto"
MESSAGES = ["medxgan/v1/bundle.proto", "medxgan/v1/explanation.proto"]
SERVICES = ["medxgan/v1/explanation.proto"]


def run_protoc(*arguments: str) -> None:
    """Run the pinned protoc on the product's .proto files."""
    includes = [f"-I{PROTOS}", f"-I{files('grpc_tools') / '_proto'}"]
    imports = f"--descriptor_set_in={PROTOS / 'third_party' / 'buf_validate.binpb'}"
    if protoc.main(["protoc", imports, *includes, *arguments]) != 0:
        sys.exit("protoc failed")


def generate(into: Path) -> None:
    """Write the `*_pb2*.py(i)` modules under `into`."""
    run_protoc(f"--python_out={into}", f"--pyi_out={into}", VALIDATE, *MESSAGES)
    run_protoc(f"--grpc_python_out={into}", *SERVICES)


def write_image(into: Path) -> None:
    """Write `image.binpb`: all descriptors with their comments, for `buf lint` and `buf breaking`."""
    image = f"--descriptor_set_out={into / 'image.binpb'}"
    run_protoc("--include_imports", "--include_source_info", image, *MESSAGES)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--into", type=Path, default=PROTOS)
    parser.add_argument("--image", action="store_true", help="write image.binpb for buf instead of modules")
    options = parser.parse_args()
    (write_image if options.image else generate)(options.into)
