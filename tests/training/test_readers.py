"""The readers: every form of data set becomes the same rows, and what does not fit is refused with its name."""

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import ExifTags, Image
from pydantic import TypeAdapter, ValidationError
from pydicom.data import get_testdata_file
from pydicom.uid import ExplicitVRLittleEndian

from medxgan.training.data import DataConfig, DataError, DataSplit, LabelledImages, load


def load_config(base: Path, **section: Any) -> DataSplit:
    return load(TypeAdapter(DataConfig).validate_python(section), base)


def rows(count: int = 3, **changes: Any) -> LabelledImages:
    fields: dict[str, Any] = {
        "images": [np.zeros((4, 5), dtype=np.uint8)] * count,
        "labels": np.zeros(count, dtype=np.uint8),
        "patients": ("",) * count,
        "sources": ("",) * count,
        "ids": tuple(f"i{row}" for row in range(count)),
        "inverted": np.zeros(count, dtype=np.bool_),
    }
    return LabelledImages(**(fields | changes))


class TestLabelledImages:
    def test_select_keeps_every_field_in_step(self) -> None:
        samples = rows(
            images=[np.full((2, 2 + row), row, dtype=np.uint16) for row in range(3)],
            labels=np.array([0, 1, 1], dtype=np.uint8),
            patients=("a", "b", "c"),
            sources=("x", "y", "z"),
            inverted=np.array([True, False, True]),
        )
        chosen = samples.select(np.array([True, False, True]))
        assert [int(image.max()) for image in chosen.images] == [0, 2]
        assert chosen.labels.tolist() == [0, 1]
        assert (chosen.patients, chosen.sources, chosen.ids) == (("a", "c"), ("x", "z"), ("i0", "i2"))
        assert chosen.inverted.tolist() == [True, True]

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"labels": np.zeros(2, dtype=np.uint8)}, "labels: expected 3 rows"),
            ({"labels": np.array([0, 1, 2], dtype=np.uint8)}, "labels: expected uint8"),
            ({"patients": ("a",)}, "patients: expected 3 rows"),
            ({"inverted": np.zeros(3)}, "inverted: expected bool"),
            ({"masks": np.zeros((3, 4, 4), dtype=np.bool_)}, "'i0'.*mask"),
            ({"masks": np.zeros((3, 4, 5), dtype=np.uint8)}, "masks: expected bool"),
            ({"images": [np.zeros((4, 5, 3), dtype=np.uint8)] * 3}, "'i0'.*grey"),
            ({"images": [np.zeros((4, 5))] * 3}, "'i0'.*float64"),
            ({"images": [np.full((4, 5), np.nan, dtype=np.float32)] * 3}, "'i0'.*finite"),
        ],
    )
    def test_fields_that_do_not_fit_are_refused(self, changes: dict[str, Any], message: str) -> None:
        with pytest.raises(DataError, match=message):
            rows(**changes)

    def test_a_patient_on_both_sides_is_refused(self) -> None:
        with pytest.raises(DataError, match="expected each patient in one part, got 1 in both") as caught:
            rows(patients=("SMITH^JOHN", "b", "SMITH^JOHN")).split(np.array([True, False, False]))
        assert "SMITH" not in str(caught.value)

    def test_what_there_is_to_train_on_is_checked(self) -> None:
        nobody = rows(2).split(np.ones(2, dtype=np.bool_))
        with pytest.raises(DataError, match=r"expected images to train on, got none: state a data\.test_share below 1"):
            nobody.check_training()
        negatives = rows(2).split(np.zeros(2, dtype=np.bool_))
        negatives.check_training()
        with pytest.raises(DataError, match="of both classes to train on, got negative ones alone"):
            negatives.check_training(both_classes=True)


@pytest.fixture
def npz(tmp_path: Path) -> Path:
    np.savez(
        tmp_path / "set.npz",
        images=np.arange(6, dtype=np.uint8)[:, None, None] * np.ones((6, 4, 4), dtype=np.uint8),
        labels=np.array([0, 0, 1, 1, 1, 0], dtype=np.uint8),
        patient=np.array(["a", "b", "c", "d", "", "e"]),
        source=np.array(["north", "south", "north", "south", "north", "north"]),
        kind=np.array(["normal", "normal", "viral", "bacterial", "viral", "other"]),
        core=np.array([1, 1, 1, 1, 0, 1], dtype=np.uint8),
        split=np.array(["train", "test", "train", "test", "train", "train"]),
        masks=np.eye(6, 16, dtype=np.uint8).reshape(6, 4, 4) * 255,
    )
    return tmp_path / "set.npz"


class TestNpz:
    def test_stated_split_and_columns(self, npz: Path) -> None:
        split = load_config(npz.parent, kind="npz", path="set.npz")
        assert [int(image[0, 0]) for image in split.train.images] == [0, 2, 4, 5]
        assert split.train.patients == ("a", "c", "", "e")
        assert split.test.sources == ("south", "south")
        assert split.test.labels.tolist() == [0, 1]
        assert split.test.masks is not None
        assert np.argwhere(split.test.masks.reshape(2, 16)).tolist() == [[0, 1], [1, 3]]
        assert split.test.ids == ("row 1", "row 3")

    def test_a_number_that_is_none_is_an_unknown_patient(self, tmp_path: Path) -> None:
        np.savez(
            tmp_path / "set.npz",
            images=np.zeros((4, 4, 4), dtype=np.uint8),
            labels=np.zeros(4, dtype=np.uint8),
            patient=np.array([7, np.nan, np.nan, 8.0]),
        )
        samples = load_config(tmp_path, kind="npz", path="set.npz", stated_split=False, test_share=1.0).test
        assert samples.patients == ("7.0", "", "", "8.0")

    def test_rows_are_kept_by_several_columns(self, npz: Path) -> None:
        split = load_config(npz.parent, kind="npz", path="set.npz", keep={"source": ["north"], "core": [1]})
        assert split.train.patients == ("a", "c", "e")
        assert len(split.test) == 0

    def test_positive_by_a_column(self, npz: Path) -> None:
        split = load_config(npz.parent, kind="npz", path="set.npz", positive={"kind": ["viral", "other"]})
        assert split.train.labels.tolist() == [0, 1, 1, 1]
        assert split.test.labels.tolist() == [0, 0]

    def test_own_split_instead_of_the_stated_one(self, npz: Path) -> None:
        split = load_config(npz.parent, kind="npz", path="set.npz", stated_split=False, test_share=1.0)
        assert (len(split.train), len(split.test)) == (0, 6)

    @pytest.mark.parametrize(
        ("section", "message"),
        [
            ({"keep": {"source": ["nord"]}}, "'source' has no 'nord'; it has 'north', 'south'"),
            ({"keep": {"hospital": ["north"]}}, "no column 'hospital'"),
            ({"keep": {"core": ["1"]}}, "'core' has no '1'"),
            ({"keep": {"masks": [1]}}, "'masks' has 3 axes"),
            ({"positive": {"kind": ["fungal"]}}, "'kind' has no 'fungal'"),
            ({"path": "absent.npz"}, "absent.npz"),
        ],
    )
    def test_what_the_file_does_not_have_is_refused(self, npz: Path, section: dict[str, Any], message: str) -> None:
        with pytest.raises(DataError, match=message):
            load_config(npz.parent, **({"kind": "npz", "path": "set.npz"} | section))

    @pytest.mark.parametrize(
        ("columns", "message"),
        [
            ({"labels": np.zeros(2, dtype=np.uint8)}, "no column 'images'"),
            ({"images": np.zeros((2, 4), dtype=np.uint8)}, r"expected \[N, H, W\]"),
            ({"images": np.zeros((2, 4, 4)), "labels": np.zeros(2)}, "float64"),
            ({"images": np.zeros((2, 4, 4), dtype=np.uint8), "labels": np.zeros(3)}, "'labels': expected 2 rows"),
            ({"images": np.zeros((2, 4, 4), dtype=np.uint8), "labels": np.array([0, 7])}, "'labels': expected 0 or 1"),
            ({"images": np.array([{}, {}])}, "plain arrays"),
        ],
    )
    def test_malformed_columns_are_refused(self, tmp_path: Path, columns: dict[str, Any], message: str) -> None:
        np.savez(tmp_path / "bad.npz", **columns)
        with pytest.raises(DataError, match=message) as caught:
            load_config(tmp_path, kind="npz", path="bad.npz", stated_split=False)
        assert "bad.npz" in str(caught.value)

    @pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut short", b"PK\x05\x06" + 18 * b"\x09"])
    def test_a_file_that_is_no_archive_is_refused(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "bad.npz").write_bytes(content)
        with pytest.raises(DataError, match=r"bad\.npz"):
            load_config(tmp_path, kind="npz", path="bad.npz")

    def test_the_licence_clean_part_of_the_chest_films(self, shared_data: Path) -> None:
        split = load_config(
            shared_data,
            kind="npz",
            path="cxr-covid/cxr-covid.npz",
            keep={"source": ["hannover", "nih"]},
            positive={"kind": ["covid", "pneumonia"]},
        )
        assert set(split.train.sources) == {"hannover", "nih"}
        assert len(split.test) == 39 + 142
        nih = np.array(split.train.sources) == "nih"
        assert 0 < split.train.labels[nih].mean() < 1  # label and source do not coincide
        assert split.train.masks is None

    def test_core_slices_of_the_brain_set(self, shared_data: Path) -> None:
        split = load_config(shared_data, kind="npz", path="brain-lgg/brain-lgg.npz", keep={"core": [1]})
        assert (int(split.train.labels.sum()), int((split.train.labels == 0).sum())) == (857, 592)
        assert split.train.masks is not None
        assert ((split.train.masks.sum(axis=(1, 2)) > 0) == (split.train.labels == 1)).all()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "films"
    for name in ("ill", "well", "unread"):
        (root / name).mkdir(parents=True)
    level = np.arange(12, dtype=np.uint8).reshape(3, 4)
    Image.fromarray(level).save(root / "ill" / "a.png")
    Image.fromarray(level.astype(np.uint16) * 5000).save(root / "ill" / "b.PNG")
    Image.fromarray(level.astype(np.float32) / 10).save(root / "well" / "c.tif")
    Image.fromarray(np.full((8, 6, 3), 77, dtype=np.uint8)).save(root / "well" / "d.jpg", quality=100)
    (root / "well" / "notes.txt").write_text("not an image")
    return root


FOLDER: dict[str, Any] = {
    "kind": "folder",
    "path": "films",
    "positive": ["ill"],
    "negative": ["well"],
    "test_share": 1.0,
}


class TestFolder:
    def test_images_keep_their_levels(self, folder: Path) -> None:
        samples = load_config(folder.parent, **FOLDER).test
        assert samples.ids == ("ill/a.png", "ill/b.PNG", "well/c.tif", "well/d.jpg")
        assert [image.dtype for image in samples.images] == [np.uint8, np.uint16, np.float32, np.uint8]
        assert [image.shape for image in samples.images] == [(3, 4), (3, 4), (3, 4), (8, 6)]
        assert [float(image.max()) for image in samples.images] == pytest.approx([11, 55000, 1.1, 77])
        assert samples.labels.tolist() == [1, 1, 0, 0]

    def test_sideways_and_white_is_zero_pictures(self, folder: Path) -> None:
        level = np.arange(6, dtype=np.uint8).reshape(2, 3)
        orientation = Image.Exif()
        orientation[ExifTags.Base.Orientation] = 8  # to be turned a quarter, against the clock
        Image.fromarray(level).save(folder / "ill" / "turned.png", exif=orientation)
        white_is_zero = {ExifTags.Base.PhotometricInterpretation: 0}
        Image.fromarray(level.astype(np.uint16)).save(folder / "ill" / "white.tif", tiffinfo=white_is_zero)
        samples = load_config(folder.parent, **FOLDER).test
        by_name = dict(zip(samples.ids, zip(samples.images, samples.inverted.tolist(), strict=True), strict=True))
        np.testing.assert_array_equal(by_name["ill/turned.png"][0], np.rot90(level))
        np.testing.assert_array_equal(by_name["ill/white.tif"][0], level)
        assert [name for name, (_, inverted) in by_name.items() if inverted] == ["ill/white.tif"]

    def test_patients_from_a_table(self, folder: Path) -> None:
        table = "file,patient\nill/a.png,p1\nill/b.PNG,p1\nwell/c.tif,p2\nwell/d.jpg,\n"
        (folder / "patients.csv").write_text(table)
        samples = load_config(folder.parent, **FOLDER, patients="films/patients.csv").test
        assert samples.patients == ("p1", "p1", "p2", "")

    @pytest.mark.parametrize(
        ("table", "message"),
        [
            ("file,patient\nill/a.png,p1\n", "no row for 'ill/b.PNG'"),
            ("name,patient\nill/a.png,p1\n", "no column 'file'"),
            ("file,patient\nill/a.png,p1\nill/a.png,p2\n", "stands twice"),
        ],
    )
    def test_a_table_that_does_not_fit_is_refused(self, folder: Path, table: str, message: str) -> None:
        (folder / "patients.csv").write_text(table)
        with pytest.raises(DataError, match=message):
            load_config(folder.parent, **FOLDER, patients="films/patients.csv")

    def test_a_broken_image_is_named(self, folder: Path) -> None:
        whole = (folder / "ill" / "a.png").read_bytes()
        (folder / "ill" / "broken.png").write_bytes(whole[: len(whole) // 2])
        with pytest.raises(DataError, match=r"broken\.png"):
            load_config(folder.parent, **FOLDER)

    def test_a_file_of_several_pictures_is_refused(self, folder: Path) -> None:
        page = Image.fromarray(np.zeros((4, 4), dtype=np.uint8))
        page.save(folder / "ill" / "pages.tif", save_all=True, append_images=[page])
        with pytest.raises(DataError, match=r"pages\.tif: expected one picture, got 2"):
            load_config(folder.parent, **FOLDER)

    @pytest.mark.parametrize(
        ("positive", "message"), [(["sick"], "sick: no such"), (["unread"], "unread: no images"), (["well"], "twice")]
    )
    def test_class_folders_that_do_not_fit_are_refused(self, folder: Path, positive: list[str], message: str) -> None:
        with pytest.raises(DataError, match=message):
            load_config(folder.parent, **(FOLDER | {"positive": positive}))


def write_dicom(path: Path, **elements: Any) -> None:
    """A small 12-bit film, changed in the elements given; None takes an element out."""
    film = pydicom.Dataset()
    film.file_meta = pydicom.dataset.FileMetaDataset()
    film.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    film.SOPClassUID, film.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1", "1.2.3"
    film.PatientID, film.InstitutionName, film.PhotometricInterpretation = "p1", "North", "MONOCHROME2"
    film.Rows, film.Columns, film.SamplesPerPixel = 2, 3, 1
    film.BitsAllocated, film.BitsStored, film.HighBit, film.PixelRepresentation = 16, 12, 11, 0
    film.PixelData = np.array([0, 1, 2, 1000, 2000, 4095], dtype="<u2").tobytes()
    for name, value in elements.items():
        if value is None:
            delattr(film, name)
        else:
            setattr(film, name, value)
    film.save_as(path, enforce_file_format=True)


class TestDicomFolder:
    def read(self, base: Path, table: str) -> LabelledImages:
        (base / "labels.csv").write_text("file,label\n" + table)
        return load_config(base, kind="dicom", path=".", labels="labels.csv", test_share=1.0).test

    def test_levels_patients_and_inversion(self, tmp_path: Path) -> None:
        write_dicom(tmp_path / "a.dcm")
        write_dicom(tmp_path / "b.dcm", PhotometricInterpretation="MONOCHROME1", PatientID="p2")
        write_dicom(tmp_path / "c.dcm", RescaleSlope="0.5", RescaleIntercept="-100", PatientID=None)
        samples = self.read(tmp_path, "a.dcm,1\nb.dcm,0\nc.dcm,1\n")
        assert samples.labels.tolist() == [1, 0, 1]
        assert samples.patients == ("p1", "p2", "")
        assert samples.sources == ("North",) * 3
        assert samples.inverted.tolist() == [False, True, False]
        assert samples.images[0].dtype == np.uint16
        assert samples.images[1].tolist() == [[0, 1, 2], [1000, 2000, 4095]]
        assert samples.images[2].dtype == np.float32
        assert samples.images[2].tolist() == [[-100, -99.5, -99], [400, 900, 1947.5]]

    def test_a_real_chest_film_plain_and_compressed(self, tmp_path: Path) -> None:
        for name in ("RG1_UNCR.dcm", "RG1_J2KR.dcm"):
            film = get_testdata_file(name, download=False)
            assert isinstance(film, str)
            (tmp_path / name).write_bytes(Path(film).read_bytes())
        samples = self.read(tmp_path, "RG1_UNCR.dcm,1\nRG1_J2KR.dcm,1\n")
        plain, compressed = samples.images
        assert plain.shape == (1955, 1841)
        assert plain.dtype == np.uint16
        np.testing.assert_array_equal(compressed, plain)  # compressed without loss
        assert samples.inverted.tolist() == [True, True]

    @pytest.mark.parametrize(
        ("elements", "message"),
        [
            ({"PixelData": None}, "no pixels"),
            ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}, "got RGB"),
            ({"NumberOfFrames": "2"}, "got 2 frames"),
            ({"Rows": None}, "cannot be decoded"),
            ({"Rows": 9}, "cannot be decoded"),
        ],
    )
    def test_a_file_that_is_not_one_grey_picture_is_named(
        self, tmp_path: Path, elements: dict[str, Any], message: str
    ) -> None:
        write_dicom(tmp_path / "bad.dcm", **elements)
        with pytest.raises(DataError, match=rf"bad\.dcm: .*{message}"):
            self.read(tmp_path, "bad.dcm,1\n")

    @pytest.mark.parametrize("content", [b"", b"not DICOM at all"])
    def test_a_file_that_is_not_dicom_is_named(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "bad.dcm").write_bytes(content)
        with pytest.raises(DataError, match=r"bad\.dcm"):
            self.read(tmp_path, "bad.dcm,1\n")

    def test_an_absent_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"absent\.dcm"):
            self.read(tmp_path, "absent.dcm,1\n")

    def test_a_label_that_is_not_0_or_1_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="expected the label 0 or 1, got 'ill'"):
            self.read(tmp_path, "a.dcm,ill\n")


class TestConfig:
    def test_phantoms(self, tmp_path: Path) -> None:
        split = load_config(tmp_path, kind="phantom", count=20, size=32, test_share=0.3)
        assert (len(split.train), len(split.test)) == (14, 6)
        assert split.test.labels.sum() == 3

    @pytest.mark.parametrize(
        "section",
        [
            {"kind": "zip", "path": "a"},
            {"kind": "npz", "path": "a", "sizes": 3},
            {"kind": "phantom", "count": 1},
            {"kind": "folder", "path": "a", "positive": [], "negative": ["b"]},
            {"kind": "dicom", "path": "a", "labels": "b", "test_share": 1.5},
        ],
    )
    def test_settings_that_do_not_fit_are_refused(self, section: dict[str, Any]) -> None:
        with pytest.raises(ValidationError):
            TypeAdapter(DataConfig).validate_python(section)
