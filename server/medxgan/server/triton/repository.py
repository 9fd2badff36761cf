"""A model repository of Triton, whose models are explainers of our bundles."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from google.protobuf import text_format

from medxgan.bundle import BundleError
from medxgan.server.errors import InvalidRequestError
from medxgan.server.explanation.table import map_name
from medxgan.server.open_inference.descriptions import model_configuration
from medxgan.server.open_inference.messages import inference
from medxgan.server.open_inference.models import Catalogue, InferenceModel
from medxgan.server.services import loaded_models
from medxgan.server.settings import ServerSettings

BUNDLES = "bundles"
"""Folder in a version's folder that holds its bundle, NAME/VERSION/."""

MODEL = "medxgan_model"
"""Parameter of a configuration: the model of our server that answers."""

PROGRESS = ".progress"
"""What the name of a model ends with that tells of its progress. Triton answers such a model in streams alone, so that
there is one without beside it."""

PROGRESS_OUTPUTS = {
    "steps_taken": "TYPE_INT64",
    "steps_total": "TYPE_INT64",
    "reconstruction_mse": "TYPE_FP64",
    "classification_loss": "TYPE_FP64",
    "phase": "TYPE_STRING",
}
"""The fields of `Progress` in explanation.proto, which come before the result: outputs of a model NAME.progress."""

PROGRAM = "model.py"
"""Beside this file, and in every version's folder: what Triton's Python runs."""


def write_repository(models: Path, out: Path, maps: Sequence[str] = (), *, progress: bool = True) -> list[str]:
    """Write a model repository: for every bundle a model NAME, and what else is asked for.

    Args:
        models: folder of the bundles.
        out: folder to write; it must not hold anything yet.
        maps: names of maps, "grad_cam": a model NAME.MAP is written for each, where the bundle can make it.
        progress: whether models NAME.progress are written, which tell of their progress.

    Returns:
        The names of the models.

    Raises:
        BundleError: the folder holds no bundle or one that can't be served, or two versions with different tensors.
        FileExistsError: `out` holds something already.
        InvalidRequestError: no bundle can make a map.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"{out}: holds something already")
    catalogue = Catalogue(loaded_models(ServerSettings(models=models, provider="cpu", strict=True, config=None)))
    known = {map_name(kind) for model in catalogue for kind in model.maps}
    for wanted in maps:
        if wanted not in known:
            raise InvalidRequestError("map", f"expected one of {', '.join(sorted(known))}, got {wanted}")
    out.absolute().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.absolute().parent) as temporary:
        made = Path(temporary) / "repository"
        made.mkdir()
        for model in catalogue:
            if model.name == model.bundle_name:
                _write_model(model, made, decoupled=False)
                if progress and model.decoupled:
                    _write_model(model, made, decoupled=True)
            elif model.name.removeprefix(f"{model.bundle_name}.") in maps:
                _write_model(model, made, decoupled=False)
        names = sorted(folder.name for folder in made.iterdir())
        if out.exists():
            out.rmdir()
        shutil.move(made, out)
    return names


def triton_configuration(model: InferenceModel, *, decoupled: bool) -> inference.ModelConfig:
    """What our server says of a model, as Triton runs it."""
    configuration = model_configuration(model)
    configuration.name = f"{model.name}{PROGRESS}" if decoupled else model.name
    configuration.platform, configuration.backend = "", "python"
    configuration.model_transaction_policy.decoupled = decoupled
    if decoupled:
        configuration.output.extend(
            inference.ModelOutput(name=name, data_type=kind, dims=[1]) for name, kind in PROGRESS_OUTPUTS.items()
        )
    # Requests are handed over at once and wait with us, where they share batches.
    configuration.ClearField("dynamic_batching")
    # One process. What runs the gradient steps in it is for the setting `provider` to say.
    (group,) = configuration.instance_group
    group.name, group.kind, group.count = "", inference.ModelInstanceGroup.KIND_CPU, 1
    configuration.parameters["image"].string_value = "BYTES [1], a PNG, JPEG, TIFF or DICOM file"
    del configuration.parameters["bundle_sha256"]  # of one version
    configuration.parameters[MODEL].string_value = model.name
    return configuration


def _write_model(model: InferenceModel, out: Path, *, decoupled: bool) -> None:
    configuration = triton_configuration(model, decoupled=decoupled)
    text = text_format.MessageToString(configuration)
    folder = out / configuration.name
    version = folder / model.version
    bundle = version / BUNDLES / model.bundle_name / model.version
    shutil.copytree(model.served.bundle.folder, bundle)
    shutil.copy(Path(__file__).with_name(PROGRAM), version)
    file = folder / "config.pbtxt"
    if file.exists() and file.read_text(encoding="utf-8") != text:
        raise BundleError(
            f"{model.bundle_name}: expected versions with the same tensors, since Triton has one configuration for "
            f"all; {model.version} has others than the version before: put them into two repositories"
        )
    file.write_text(text, encoding="utf-8")
