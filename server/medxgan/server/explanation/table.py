"""The one table from a method of attribution to its explainer, and what a bundle can serve of it."""

from collections.abc import Iterable, Mapping

from medxgan.server.errors import InvalidRequestError
from medxgan.server.explainers.difference_map import difference_map
from medxgan.server.explainers.evidence_map import evidence_map
from medxgan.server.explainers.explainer import Explainer
from medxgan.server.explainers.grad_cam import grad_cam
from medxgan.server.explainers.gradient import gradient
from medxgan.server.explainers.guided_backpropagation import guided_backpropagation
from medxgan.server.explainers.guided_grad_cam import guided_grad_cam
from medxgan.server.explainers.integrated_gradients import integrated_gradients
from medxgan.server.explainers.latent_integrated_gradients import latent_integrated_gradients
from medxgan.server.explainers.occlusion import occlusion
from medxgan.server.explainers.residual_map import residual_map
from medxgan.v1 import bundle_pb2, explanation_pb2
from medxgan.v1.explanation_pb2 import AttributionMethod

EXPLAINERS: Mapping[AttributionMethod, Explainer] = {
    explanation_pb2.ATTRIBUTION_METHOD_GRADIENT: Explainer(gradient, ("gradient",)),
    explanation_pb2.ATTRIBUTION_METHOD_GUIDED_BACKPROPAGATION: Explainer(guided_backpropagation, ("guided_gradient",)),
    explanation_pb2.ATTRIBUTION_METHOD_GRAD_CAM: Explainer(grad_cam, ("activations", "activation_gradients")),
    explanation_pb2.ATTRIBUTION_METHOD_INTEGRATED_GRADIENTS: Explainer(integrated_gradients),
    explanation_pb2.ATTRIBUTION_METHOD_GUIDED_GRAD_CAM: Explainer(
        guided_grad_cam, ("guided_gradient", "activations", "activation_gradients")
    ),
    explanation_pb2.ATTRIBUTION_METHOD_OCCLUSION: Explainer(occlusion),
    explanation_pb2.ATTRIBUTION_METHOD_LATENT_INTEGRATED_GRADIENTS: Explainer(
        latent_integrated_gradients, needs_generator=True
    ),
    explanation_pb2.ATTRIBUTION_METHOD_DIFFERENCE_MAP: Explainer(difference_map, needs_generator=True),
    explanation_pb2.ATTRIBUTION_METHOD_RESIDUAL_MAP: Explainer(residual_map, needs_generator=True),
    explanation_pb2.ATTRIBUTION_METHOD_EVIDENCE_MAP: Explainer(evidence_map, needs_generator=True),
}
"""Every method of explanation.proto, in the order of the enum."""

INTEGRATING = frozenset(
    {
        explanation_pb2.ATTRIBUTION_METHOD_INTEGRATED_GRADIENTS,
        explanation_pb2.ATTRIBUTION_METHOD_LATENT_INTEGRATED_GRADIENTS,
        explanation_pb2.ATTRIBUTION_METHOD_EVIDENCE_MAP,
    }
)
"""The methods that use the settings of integrated gradients."""


def served_methods(bundle: bundle_pb2.Bundle) -> tuple[AttributionMethod, ...]:
    """The methods that a bundle can serve, in the order of the enum."""
    return tuple(
        method for method, explainer in EXPLAINERS.items() if bundle.HasField("latent") or not explainer.needs_generator
    )


def check_methods(methods: Iterable[AttributionMethod], target: int, bundle: bundle_pb2.Bundle) -> None:
    """Check that a bundle can serve these methods for this output of its classifier.

    Raises:
        InvalidRequestError: naming the method that it can't serve, or the target that a method does not explain.
    """
    positive = bundle.classification.positive_output
    for index, method in enumerate(methods):
        if not EXPLAINERS[method].needs_generator:
            continue
        name = AttributionMethod.Name(method)
        if not bundle.HasField("latent"):
            raise InvalidRequestError(
                f"methods[{index}]", f"{name} needs a generator, which {bundle.name}/{bundle.version} does not have"
            )
        if target != positive:
            raise InvalidRequestError(
                "target", f"expected {positive}, the positive class, which is what {name} explains, got {target}"
            )
