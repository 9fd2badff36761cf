"""From the name of a foreign classifier to a network that has been tried out."""

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from medxgan.training.configuration import ExternalClassifierConfig
from medxgan.training.networks import ExternalClassifier
from medxgan.training.networks.layers import LayerError
from medxgan.training.networks.probabilities import add_up_to_one, last_activation, lie_between_zero_and_one

PROBES = 3
"""Random pictures that a foreign network is tried with."""

FAR = 1000
"""How much stronger than any film a picture is that drives logits out of the range of probabilities."""

SHOWN = 4
"""Weights that a message names, of those that are wrong."""


class ClassifierSourceError(Exception):
    """A foreign classifier can't be had, or is not what the configuration says; the message says what is wrong."""


def load_external_classifier(
    configuration: ExternalClassifierConfig, image_size: int, positive: str
) -> ExternalClassifier:
    """The network that a configuration names, with its weights, frozen.

    Args:
        configuration: with absolute paths.
        image_size: side S of x in pixels.
        positive: name of the positive class; of several outputs one has it.

    Raises:
        ClassifierSourceError: it can't be had, or does not take or give what the configuration says.
    """
    try:
        configuration.check_positive(positive)
    except ValueError as error:
        raise ClassifierSourceError(str(error)) from error
    if configuration.from_onnx:
        network = _read_onnx(configuration, configuration.size or image_size)
    else:
        network = _call_factory(configuration)
        if configuration.weights is not None:
            _load_weights(network, configuration.weights)
    network = network.float().eval().requires_grad_(False)
    try:
        classifier = ExternalClassifier(
            network,
            image_size,
            positive=configuration.classes.index(positive) if configuration.outputs else 0,
            exclusive=configuration.activation == "softmax",
            channels=configuration.channels,
            mean=configuration.mean,
            deviation=configuration.std,
            layer=configuration.layer,
            layout=configuration.layout,
            picture_size=configuration.size,
            merged=configuration.members,
            notes=[
                f'"{name}" stands for the outputs {", ".join(members)} together: its probability is the sum of theirs.'
                for name, members in configuration.merged.items()
            ],
        )
        with torch.no_grad():
            _check_outputs(configuration, classifier, image_size)
        _check_scale(configuration, classifier, image_size)
    except LayerError as error:
        raise ClassifierSourceError(f"external_classifier.{error}") from error
    except ClassifierSourceError:
        raise
    except Exception as error:  # foreign code raises what it likes
        raise ClassifierSourceError(
            f"external_classifier: {configuration.source} does not take {configuration.channels} x "
            f"{configuration.size or image_size} x {configuration.size or image_size} pixels: {_reason(error)}"
        ) from error
    return classifier.eval().requires_grad_(False)


def _call_factory(configuration: ExternalClassifierConfig) -> nn.Module:
    """Import "package.module:factory" and call it."""
    module_name, _, name = configuration.source.partition(":")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # foreign code raises what it likes
        raise ClassifierSourceError(
            f"external_classifier.source: can't import {module_name} (looked for as Python does, PYTHONPATH included): "
            f"{_reason(error)}"
        ) from error
    factory = getattr(module, name, None)
    if not callable(factory):
        found = "none" if factory is None else f"a {type(factory).__name__}"
        raise ClassifierSourceError(
            f'external_classifier.source: expected a callable "{name}" in {module_name}, found {found}'
        )
    try:
        network = factory(**configuration.arguments)
    except Exception as error:  # foreign code raises what it likes
        raise ClassifierSourceError(
            f"external_classifier.arguments: {configuration.source}: {_reason(error)}"
        ) from error
    if not isinstance(network, nn.Module):
        raise ClassifierSourceError(
            f"external_classifier.source: expected {configuration.source} to make a torch.nn.Module, "
            f"found a {type(network).__name__}"
        )
    return network


def _load_weights(network: nn.Module, file: Path) -> None:
    """Load a state dict, every key of it and no other."""
    try:
        stored = load_file(file)
    except FileNotFoundError as error:
        raise ClassifierSourceError(f"external_classifier.weights: no such file: {file}") from error
    except (SafetensorError, OSError) as error:
        raise ClassifierSourceError(
            f"external_classifier.weights: expected a safetensors file, found {file}: {_reason(error)}"
        ) from error
    expected = network.state_dict()
    wrong = {
        "missing": [key for key in expected if key not in stored],
        "unexpected": [key for key in stored if key not in expected],
        "of another shape": [
            f"{key}: expected {list(expected[key].shape)}, found {list(value.shape)}"
            for key, value in stored.items()
            if key in expected and expected[key].shape != value.shape
        ],
    }
    if any(wrong.values()):
        raise ClassifierSourceError(f"external_classifier.weights: {file.name} is of another network: {_listed(wrong)}")
    network.load_state_dict(stored)


def _listed(wrong: Mapping[str, Sequence[str]]) -> str:
    """How many keys are wrong in which way, and the first of them."""
    parts = []
    for kind, keys in wrong.items():
        if keys:
            more = ", …" if len(keys) > SHOWN else ""
            parts.append(f"{len(keys)} {kind} ({', '.join(keys[:SHOWN])}{more})")
    return "; ".join(parts)


def _read_onnx(configuration: ExternalClassifierConfig, image_size: int) -> nn.Module:
    """Convert an ONNX file, and see that it is made for pictures such as the configuration says."""
    try:
        from medxgan.training.networks.onnx_module import OnnxError, read_onnx
    except ModuleNotFoundError as error:
        raise ClassifierSourceError(
            f"external_classifier.source: an ONNX file needs {error.name}: install medxgan[export]"
        ) from error
    file = Path(configuration.source)
    try:
        network = read_onnx(file)
    except FileNotFoundError as error:
        raise ClassifierSourceError(f"external_classifier.source: no such file: {file}") from error
    except OnnxError as error:
        raise ClassifierSourceError(f"external_classifier.source: {file.name}: {error}") from error
    channels, *sides = network.picture
    if channels not in {None, configuration.channels}:
        raise ClassifierSourceError(
            f"external_classifier.channels: {file.name} takes {channels}, found {configuration.channels}"
        )
    if wrong := [side for side in sides if side not in {None, image_size}]:
        field = "image.size" if configuration.size is None else "external_classifier.size"
        raise ClassifierSourceError(f"{field}: {file.name} takes pictures of side {wrong[0]}, found {image_size}")
    several = len(configuration.outputs) > 1
    fitting = {"Softmax": "softmax", "Sigmoid": "logistic"}.get(network.ending or "", configuration.activation)
    if several and configuration.activation != fitting:
        raise ClassifierSourceError(
            f'external_classifier.activation: {file.name} ends in a {network.ending}: expected "{fitting}", '
            f'found "{configuration.activation}"'
        )
    if network.ending == "Softmax" and not several:
        raise ClassifierSourceError(
            f"external_classifier.outputs: {file.name} ends in a Softmax: expected the names of several outputs, "
            "found none"
        )
    return network


def _check_outputs(configuration: ExternalClassifierConfig, classifier: ExternalClassifier, image_size: int) -> None:
    """See that the outputs are as many as stated, finite, and each row's own."""
    x = _probes(image_size)
    outputs = classifier.network_outputs(x)
    if not isinstance(outputs, Tensor) or outputs.ndim != 2 or len(outputs) != PROBES:
        found = list(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        raise ClassifierSourceError(
            f"external_classifier: expected outputs [B, K] for B pictures, found {found} for {PROBES} pictures"
        )
    expected = max(1, len(configuration.outputs))
    if outputs.shape[1] != expected:
        stated = f"{expected} names" if configuration.outputs else "none, which stands for one output"
        raise ClassifierSourceError(
            f"external_classifier.outputs: expected the names of the network's {outputs.shape[1]} outputs, "
            f"found {stated}"
        )
    if not bool(outputs.isfinite().all()):
        raise ClassifierSourceError("external_classifier: the network gives outputs that are not finite")
    alone = classifier.network_outputs(x[:1])
    if not torch.allclose(alone, outputs[:1], rtol=1e-3, atol=1e-4):
        raise ClassifierSourceError(
            "external_classifier: a picture's outputs depend on the others of its batch "
            "(a batch norm without running statistics, or a random layer?)"
        )


def _check_scale(configuration: ExternalClassifierConfig, classifier: ExternalClassifier, image_size: int) -> None:
    """See that the outputs are no probabilities, which would be taken for logits."""
    x = _probes(image_size).requires_grad_()
    outputs = classifier.network_outputs(x)
    advice = "expected logits: leave the network's last sigmoid or softmax out"
    activation = last_activation(outputs)
    if activation is None and add_up_to_one(outputs):
        activation = "softmax"
    if activation is not None:
        several = ", give all that went into it, and name them in external_classifier.outputs"
        raise ClassifierSourceError(
            f"external_classifier: the outputs are probabilities (of a {activation}), whose gradients fade; {advice}"
            + (several if "softmax" in activation else "")
        )
    if configuration.logits:
        return
    if lie_between_zero_and_one(torch.cat([outputs, _far_outputs(classifier, x)])):
        raise ClassifierSourceError(
            f"external_classifier: the outputs lie between 0 and 1, as probabilities do; {advice}, or, if these are "
            "logits, state external_classifier.logits = true"
        )


@torch.no_grad()
def _far_outputs(classifier: ExternalClassifier, x: Tensor) -> Tensor:
    """Outputs [N, K] for even pictures, and for pictures x [B, 1, S, S] that are made far stronger; those it has."""
    outputs = classifier.network_outputs(torch.cat([torch.ones_like(x[:1]), -torch.ones_like(x[:1])]))
    try:
        far = classifier.network_outputs(FAR * x)
    except (ArithmeticError, AssertionError, LookupError, RuntimeError, TypeError, ValueError):  # not meant for these
        return outputs
    return torch.cat([outputs, far[far.isfinite().all(1)]])


def _probes(image_size: int) -> Tensor:
    """Random pictures [PROBES, 1, S, S] in [-1, 1]."""
    return 2 * torch.rand(PROBES, 1, image_size, image_size, generator=torch.Generator().manual_seed(0)) - 1


def _reason(error: Exception) -> str:
    """What went wrong, and where, in one line."""
    notes = [*getattr(error, "__notes__", ()), type(error).__name__]
    lines = str(error).strip().splitlines()
    return ": ".join([*notes, *lines[:1]])
