"""The one file against the bundle's graphs, before it is let out."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from medxgan.bundle import LoadedBundle
from medxgan.bundle.graphs import LATENTS, REALIZATIONS
from medxgan.export.comparison import ROUNDING, SIGN, VALUE, Output, require_agreement
from medxgan.export.errors import VerificationError
from medxgan.export.verification import file_runner, onnx_runner
from medxgan.v1.bundle_pb2 import (
    GRAPH_ROLE_CLOSE,
    GRAPH_ROLE_INVERSION_STEP,
    GRAPH_ROLE_OPEN,
    SOLVER_LBFGS,
    GraphRole,
)


def verify_one_file(bundle: LoadedBundle, file: Path) -> None:
    """Check the explanation in one file against the bundle's graphs: how it opens, inverts and closes.

    Of L-BFGS, which the bundle has no graph of, it is checked that it never goes where the loss is higher.

    Args:
        bundle: that the file was made from.
        file: the file.

    Raises:
        VerificationError: ONNX Runtime can't run it, or it disagrees.
    """
    side, inversion = bundle.description.image.height, bundle.description.inversion
    coarse = torch.rand(1, 1, 5, 5, generator=torch.Generator().manual_seed(0))
    film = torch.nn.functional.interpolate(coarse, (2 * side + 3, 3 * side + 1), mode="bilinear")
    opening = {"image": film, "inverted": torch.zeros(1), "pixel_aspect": torch.ones(1)}
    settings = {
        "learning_rate": torch.tensor([inversion.default_learning_rate]),
        "reconstruction_weight": torch.tensor([inversion.default_reconstruction_weight]),
    }
    run = file_runner(file)
    start, once, found = (
        run({**opening, **settings, "steps": torch.tensor([steps])}) for steps in (0, 1, inversion.default_steps)
    )

    def expected(role: GraphRole, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return onnx_runner(bundle.whole_graph(role), bundle.folder)(inputs)

    reference = "the bundle's graphs"
    opened = expected(GRAPH_ROLE_OPEN, opening)
    closed = expected(GRAPH_ROLE_CLOSE, {"x": opened["x"], "z": found["z"]})
    for name, value in {"x": opened["x"], **{each: closed[each] for each in REALIZATIONS}}.items():
        require_agreement(Output(file.name, name, 1), found[name], value, torch.ones(1, 1, 1, 1), VALUE, reference)
    if "z" in opened:
        require_agreement(Output(file.name, "z", 1), start["z"], opened["z"], torch.ones(1, 1), VALUE, reference)
    if inversion.default_solver == SOLVER_LBFGS:
        before, after = (
            settings["reconstruction_weight"] * each["reconstruction_mse"] + each["classification_loss"]
            for each in (start, found)
        )
        if not (after <= before * (1 + ROUNDING)).all():
            claim = "its inversion leads to a higher loss"
            raise VerificationError(file.name, "z", 1, (after - before).item(), ROUNDING, claim)
        return
    rates = torch.full_like(start["z"], inversion.default_learning_rate)
    if "z" in opened and inversion.HasField("pathology_rate"):
        rates[:, bundle.description.latent.z1_size :] *= inversion.pathology_rate
    constants = {"image": opened["x"], "target": opened["logit"].sigmoid(), "learning_rate": rates}
    unmoved = {name: torch.zeros_like(rates) for name in LATENTS} | {"z": start["z"], "step": torch.zeros(1)}
    weight = {"reconstruction_weight": settings["reconstruction_weight"]}
    stepped = expected(GRAPH_ROLE_INVERSION_STEP, {**unmoved, **constants, **weight})
    # A row is a latent here: Adam's first step is as long as its rate, in the direction of the gradient's sign.
    moved, wanted = ((each - start["z"]).T for each in (once["z"], stepped["next_z"]))
    require_agreement(Output(file.name, "z", 1), moved, wanted, rates.T.clamp_min(ROUNDING), SIGN, reference)
