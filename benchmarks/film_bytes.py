"""What one explanation moves and keeps, in bytes: film, messages there and back, objects for the archive.

    python benchmarks/film_bytes.py FILM.dcm... --model chest

Without films it takes two radiographs of the package `pydicom-data`. Films are numbered in the order
given; their names are kept out of the results. Writes film-bytes-MODEL.json and .md.
"""

import os
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any

import grpc
import typer
from load_targets import MAPS
from measuring import conditions, machine, write_results
from pydicom import dcmread

from medxgan.client import Client, Explanation
from medxgan.client.command.embedded import embedded_server
from medxgan.gateway.results.outputs import Outputs
from medxgan.gateway.results.series import result_series
from medxgan.v1.explanation_pb2 import (
    MAP_FORM_PNG,
    MAP_FORM_TENSOR,
    ExplainRequest,
    Image,
    MapRequest,
    ModelSelector,
)
from medxgan.v1.explanation_pb2_grpc import ExplanationServiceStub

ROOT = Path(__file__).parents[1]
RADIOGRAPHS = ("RG1_UNCR.dcm", "RG3_UNCR.dcm")
EVERYTHING = Outputs(presentation_state=True, show_unreliable=True)


def main(
    films: Annotated[list[Path] | None, typer.Argument(help="DICOM files.")] = None,
    model: Annotated[str, typer.Option(help="Name of a shipped bundle.")] = "chest",
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path(__file__).parent / "results",
) -> None:
    """Count the bytes of explanations."""
    chosen = films or [Path(str(files("data_store") / "data" / name)) for name in RADIOGRAPHS]
    named = {film: f"FILM{number}" for number, film in enumerate(films or [], 1)}
    with embedded_server(ROOT / "models", "cpu") as address, grpc.insecure_channel(address) as channel:
        stub = ExplanationServiceStub(channel)  # type: ignore[no-untyped-call]
        with Client(address) as client:
            counted = [_count(film.read_bytes(), model, stub, client) for film in chosen]
    report = {
        **conditions(os.cpu_count() or 1, "grpcio", "pydicom", "highdicom", folders=named),
        "model": model,
        "films": counted,
    }
    write_results(out, f"film-bytes-{model}", report, _page(report, counted))


def _count(film: bytes, model: str, stub: ExplanationServiceStub, client: Client) -> dict[str, int]:
    counted = {"film": len(film)}
    for name, form in (("tensors", MAP_FORM_TENSOR), ("PNG", MAP_FORM_PNG)):
        request = ExplainRequest(
            model=ModelSelector(name=model),
            image=Image(dicom=film),
            maps=[MapRequest(kind=kind, form=form) for kind in MAPS],
        )
        answer = stub.Explain(request)
        counted |= {"request": request.ByteSize(), f"answer, maps as {name}": answer.ByteSize()}
    explanation = client.explain(film, model=model, maps=_maps(client, model))
    return counted | _objects(film, explanation)


def _maps(client: Client, model: str) -> list[Any]:
    there = {each.kind for each in client.model(model).maps}
    return [kind for kind in EVERYTHING.maps if kind in there]


def _objects(film: bytes, explanation: Explanation) -> dict[str, int]:
    """By kind, as the gateway makes them with everything turned on."""
    sizes: dict[str, int] = {}
    for result in result_series(dcmread(BytesIO(film)), explanation, EVERYTHING):
        written = BytesIO()
        result.save_as(written, enforce_file_format=True)
        name = result.SOPClassUID.name.removesuffix(" Storage")
        sizes[name] = sizes.get(name, 0) + len(written.getvalue())
    return sizes


def _page(report: dict[str, Any], counted: list[dict[str, int]]) -> str:
    names = list(dict.fromkeys(name for film in counted for name in film))
    lines = [
        f"# Bytes of an explanation: {report['model']}",
        "",
        f"{machine(report)}.",
        "",
        f"    {report['command']}",
        "",
        "| | " + " | ".join(f"film {number}" for number in range(1, len(counted) + 1)) + " |",
        "|---|" + "---:|" * len(counted),
    ]
    lines += [f"| {name} | " + " | ".join(f"{film.get(name, 0):,}" for film in counted) + " |" for name in names]
    lines += [
        "",
        "The answer has reconstruction, negative realization and difference. Then all objects that the gateway makes.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    typer.run(main)
