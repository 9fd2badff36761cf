"""The patients that nothing is trained on and thresholds are set on."""

from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter

from medxgan.training.data import DataConfig, DataError, load
from medxgan.training.data.samples import DataSplit, LabelledImages


def save_set(file: Path, patients: int, images_of_each: int) -> None:
    rows = patients * images_of_each
    np.savez(
        file,
        images=np.zeros((rows, 4, 4), dtype=np.uint8),
        labels=(np.arange(rows) % 2).astype(np.uint8),
        ids=np.array([f"image {row}" for row in range(rows)]),
        patient=np.array([f"patient {row // images_of_each}" for row in range(rows)]),
        split=np.where(np.arange(rows) < rows // 4, "test", "train"),
    )


def load_set(file: Path, calibration_share: float, *, stated_split: bool) -> DataSplit:
    section = {
        "kind": "npz",
        "path": file.name,
        "stated_split": stated_split,
        "calibration_share": calibration_share,
    }
    return load(TypeAdapter(DataConfig).validate_python(section), file.parent)


@pytest.mark.parametrize("stated_split", [True, False])
def test_it_is_taken_from_the_training_patients(tmp_path: Path, stated_split: bool) -> None:
    save_set(tmp_path / "set.npz", patients=40, images_of_each=4)
    whole = load_set(tmp_path / "set.npz", 0.0, stated_split=stated_split)
    parted = load_set(tmp_path / "set.npz", 0.2, stated_split=stated_split)

    assert whole.calibration is None
    assert parted.calibration is not None
    assert parted.test.ids == whole.test.ids
    assert set(parted.train.ids) | set(parted.calibration.ids) == set(whole.train.ids)
    assert not set(parted.train.patients) & set(parted.calibration.patients)
    assert len(parted.calibration) == pytest.approx(0.2 * len(whole.train), abs=4)


def test_a_patient_that_is_trained_on_too_is_refused() -> None:
    def of(patient: str) -> LabelledImages:
        return LabelledImages(
            images=[np.zeros((2, 2), dtype=np.uint8)],
            labels=np.zeros(1, dtype=np.uint8),
            patients=(patient,),
            sources=("",),
            ids=("i",),
            inverted=np.zeros(1, dtype=np.bool_),
        )

    with pytest.raises(DataError, match="got 1 in both train and calibration"):
        DataSplit(train=of("a"), test=of("b"), calibration=of("a"))
