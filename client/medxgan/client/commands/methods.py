"""The values of `--method`, and which options belong to which of them."""

from collections.abc import Mapping
from enum import StrEnum

import typer


class Method(StrEnum):
    """How an image is explained. All but the first and the last are an `AttributionMethod` of the same name."""

    MEDXGAN = "medxgan"
    GRADIENT = "gradient"
    GUIDED_BACKPROPAGATION = "guided-backpropagation"
    GRAD_CAM = "grad-cam"
    GUIDED_GRAD_CAM = "guided-grad-cam"
    INTEGRATED_GRADIENTS = "integrated-gradients"
    OCCLUSION = "occlusion"
    LATENT_INTEGRATED_GRADIENTS = "latent-integrated-gradients"
    DIFFERENCE_MAP = "difference-map"
    RESIDUAL_MAP = "residual-map"
    EVIDENCE_MAP = "evidence-map"
    ALL = "all"


_INVERTING = (
    Method.MEDXGAN,
    Method.LATENT_INTEGRATED_GRADIENTS,
    Method.DIFFERENCE_MAP,
    Method.RESIDUAL_MAP,
    Method.EVIDENCE_MAP,
    Method.ALL,
)
_TARGETING = (*(method for method in Method if method not in _INVERTING), Method.ALL)
_INTEGRATING = (Method.INTEGRATED_GRADIENTS, Method.LATENT_INTEGRATED_GRADIENTS, Method.EVIDENCE_MAP, Method.ALL)

OPTIONS: Mapping[str, tuple[Method, ...]] = {
    "steps": _INVERTING,
    "learning_rate": _INVERTING,
    "reconstruction_weight": _INVERTING,
    "restarts": _INVERTING,
    "seed": _INVERTING,
    "frames": (Method.MEDXGAN,),
    "target": _TARGETING,
    "path_steps": _INTEGRATING,
    "baseline": (Method.INTEGRATED_GRADIENTS, Method.EVIDENCE_MAP, Method.ALL),
    "window": (Method.OCCLUSION, Method.ALL),
    "stride": (Method.OCCLUSION, Method.ALL),
    "occlusion_level": (Method.OCCLUSION, Method.ALL),
}
"""The methods that an option means something to, by the option's parameter."""


def refuse_foreign_options(context: typer.Context, method: Method) -> None:
    """End the command where the caller gave an option that means nothing to the method: it would be ignored in silence.

    Raises:
        typer.BadParameter: names the option and the methods that it is for.
    """
    for option, methods in OPTIONS.items():
        source = context.get_parameter_source(option)
        if source is not None and source.name == "COMMANDLINE" and method not in methods:
            raise typer.BadParameter(
                f"is for --method {', '.join(methods)}; not for {method}",
                param_hint=f"--{option.replace('_', '-')}",
            )
