"""Shards: what they hold, the order that they are read in, and a training that streams them."""

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.training.small import SMALL_GENERATOR
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset
from typer.testing import CliRunner

from medxgan.training import examples, processes, train_classifier
from medxgan.training.checkpoint import load_weights
from medxgan.training.command import data
from medxgan.training.configuration import TrainingConfig, load_configuration
from medxgan.training.data import DataError, DataSplit, LabelledImages, phantoms
from medxgan.training.data.shard_order import lanes_of
from medxgan.training.data.shards import Manifest, Shard, ShardWriter, read_parts, read_shards
from medxgan.training.data.source import ShardsData
from medxgan.training.dataset import preprocess_images
from medxgan.training.preprocessing import Preprocess
from medxgan.training.runs import RunError, build_preprocess
from medxgan.training.streaming import ShardStream, end_without_finalizing
from medxgan.training.train_generator import train_generator

PHANTOM = Path(__file__).parents[2] / "training" / "configs" / "phantom.toml"

SMALL = f"""
extends = "{PHANTOM}"

[data]
count = 60
size = 48
calibration_share = 0.2

[classifier]
width = 4
epochs = 2
batch_size = 16

[generator]
{SMALL_GENERATOR}
precision = "32-true"
steps = 6
checkpoint_interval = 3
batch_size = 4

[familiarity]
steps = 2
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration, and its images as shards beside it."""
    folder = tmp_path_factory.mktemp("shards")
    (folder / "small.toml").write_text(SMALL)
    outcome = CliRunner().invoke(
        data,
        ["shard", "--config", str(folder / "small.toml"), "--out", str(folder / "set"), "--rows", "7", "--seed", "3"],
    )
    assert outcome.exit_code == 0, outcome.output
    assert "train: 38 images in 6 shards" in outcome.output
    return folder


@pytest.fixture(scope="module")
def configurations(folder: Path) -> tuple[TrainingConfig, TrainingConfig]:
    """The one that holds its images, and the one that streams them."""
    held = load_configuration(folder / "small.toml")
    stream = ShardsData(kind="shards", path=folder / "set", lanes=2, open_shards=2, workers=0, sample=38)
    return held, held.model_copy(update={"data": stream})


def rows_of(images: LabelledImages) -> list[tuple[Any, ...]]:
    """Everything that is known of every image, in an order that does not depend on theirs."""
    masks = [b""] * len(images) if images.masks is None else [mask.tobytes() for mask in images.masks]
    strata = images.strata or ("",) * len(images)
    columns = (images.labels, images.patients, images.sources, images.inverted, strata, masks, images.images)
    rows = [
        (name, *row[:-1], row[-1].dtype, row[-1].tobytes()) for name, *row in zip(images.ids, *columns, strict=True)
    ]
    return sorted(rows, key=lambda row: row[0])


# --- What they hold ---


def test_they_hold_every_part_as_it_was(configurations: tuple[TrainingConfig, TrainingConfig], folder: Path) -> None:
    was, found = (configuration.data.load(folder) for configuration in configurations)
    assert was.calibration is not None
    assert found.calibration is not None
    for one, other in ((was.train, found.train), (was.calibration, found.calibration), (was.test, found.test)):
        assert rows_of(one) == rows_of(other)


def test_levels_and_sizes_of_every_kind_come_back(tmp_path: Path) -> None:
    levels = [
        np.arange(12, dtype=np.uint8).reshape(3, 4),
        np.arange(20, dtype=np.uint16).reshape(5, 4) * 3000,
        np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3),
    ]
    images = LabelledImages(
        images=levels,
        labels=np.array([0, 1, 1], dtype=np.uint8),
        patients=("a", "", "b"),
        sources=("x", "y", ""),
        ids=("1", "2", "3"),
        inverted=np.array([True, False, True]),
        strata=("AP", "PA", "AP"),
    )
    writer = ShardWriter(tmp_path / "set", 2, 0)
    writer.add(images.split(np.zeros(3, dtype=np.bool_)))
    manifest = writer.finish()
    assert manifest.strata == ("AP", "PA")
    assert rows_of(read_shards(tmp_path / "set", manifest.train)) == rows_of(images)


def test_shards_of_before_padding_and_the_shape_of_pixels_are_read(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path / "set", 2, 0)
    images = phantoms(2, 32, 0)
    writer.add(images.split(np.zeros(2, dtype=np.bool_)))
    (shard,) = writer.finish().train
    table = pq.read_table(tmp_path / "set" / shard.file)
    pq.write_table(table.drop_columns(["pixel_aspect", "padding"]), tmp_path / "set" / shard.file)
    assert rows_of(read_shards(tmp_path / "set", [shard])) == rows_of(images)


def portion(patients: tuple[str, str], part: str) -> DataSplit:
    images = replace(phantoms(2, 32, 0), patients=patients)
    return images.split(np.array([part == "test"] * 2))


def test_a_patient_of_another_portion_stays_on_one_side(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path / "set", 10, 0)
    writer.add(portion(("a", "b"), "train"))
    writer.add(portion(("a", "c"), "train"))
    with pytest.raises(DataError, match="a patient of test is in train of an earlier portion"):
        writer.add(portion(("d", "c"), "test"))


def test_what_is_wrong_with_them_is_said(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(DataError, match=r"shards\.json: expected the list of shards"):
        read_parts(tmp_path, 10)
    with pytest.raises(DataError, match="expected an empty folder"):
        ShardWriter(folder / "set", 10, 0)
    with pytest.raises(DataError, match="no images to train on"):
        ShardWriter(tmp_path / "none", 10, 0).finish()
    with pytest.raises(DataError, match="expected 8 rows, got 7"):
        read_shards(folder / "set", [Shard(file=Manifest.read(folder / "set").train[0].file, rows=8)])
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="not a readable shard"):
        read_shards(tmp_path, [Shard(file="broken.parquet", rows=1)])
    outcome = CliRunner().invoke(data, ["shard", "--config", str(tmp_path / "none.toml"), "--out", str(tmp_path / "o")])
    assert outcome.exit_code == 1
    assert "none.toml" in outcome.output


# --- The order ---


@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=6),
    open_shards=st.integers(1, 4),
    seed=st.integers(0, 9),
    place=st.integers(0, 60),
)
def test_the_order_can_be_entered_anywhere_and_has_every_row_once_an_epoch(
    sizes: list[int], open_shards: int, seed: int, place: int
) -> None:
    shards = [Shard(file=str(number), rows=rows) for number, rows in enumerate(sizes)]
    (lane,) = lanes_of(shards, 1, open_shards, seed)

    def places(first: int, many: int) -> list[tuple[str, int]]:
        def all_of() -> Any:
            for window in lane.windows(first):
                rows = [(shard.file, row) for shard in window.shards for row in range(shard.rows)]
                for number in window.order(None).tolist():
                    yield rows[number]

        return list(islice(all_of(), many))

    rows = sum(sizes)
    whole = places(0, place + rows)
    assert places(place, rows) == whole[place:]
    assert sorted(whole[:rows]) == sorted((shard.file, row) for shard in shards for row in range(shard.rows))


def test_another_seed_and_another_epoch_have_another_order() -> None:
    shards = [Shard(file=str(number), rows=20) for number in range(4)]
    orders = []
    for seed, place in ((0, 0), (1, 0), (0, 80)):
        (lane,) = lanes_of(shards, 1, 4, seed)
        orders.append(next(lane.windows(place)).order(None).tolist())
    assert orders[0] != orders[1]
    assert orders[0] != orders[2]


def test_fewer_shards_than_lanes_are_refused() -> None:
    with pytest.raises(DataError, match=r"data\.lanes: expected at most the number of training shards, 1, found 2"):
        lanes_of([Shard(file="0", rows=1)], 2, 1, 0)


# --- The stream ---


def streamed(configuration: TrainingConfig, batches: int, first: int = 0, **changes: Any) -> Tensor:
    section = configuration.data.model_copy(update=changes)
    assert isinstance(section, ShardsData)
    stream = ShardStream(section, Path(), build_preprocess(configuration))
    return torch.cat([batch.x for batch in islice(stream.batches(8, first), batches)])


def test_it_goes_on_where_it_was(configurations: tuple[TrainingConfig, TrainingConfig]) -> None:
    whole = streamed(configurations[1], 12)  # more than two epochs
    torch.testing.assert_close(streamed(configurations[1], 4, first=8), whole[64:], atol=0, rtol=0)


def test_each_of_two_processes_reads_its_own_rows_of_the_same_batches(
    configurations: tuple[TrainingConfig, TrainingConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = streamed(configurations[1], 3).view(3, 8, 1, 32, 32)
    monkeypatch.setattr(processes, "count", lambda: 2)
    read: list[set[str]] = []
    for rank in range(2):
        files: set[str] = set()

        def read_and_note(folder: Path, shards: Any, files: set[str] = files) -> LabelledImages:
            files |= {shard.file for shard in shards}
            return read_shards(folder, shards)

        monkeypatch.setattr(processes, "rank", lambda rank=rank: rank)
        monkeypatch.setattr("medxgan.training.streaming.read_shards", read_and_note)
        own = streamed(configurations[1], 3).view(3, 4, 1, 32, 32)
        torch.testing.assert_close(own, whole[:, 4 * rank : 4 * rank + 4], atol=0, rtol=0)
        read.append(files)
    assert not read[0] & read[1]


@pytest.mark.slow
def test_workers_change_nothing(configurations: tuple[TrainingConfig, TrainingConfig]) -> None:
    before = torch.get_rng_state()
    alone = streamed(configurations[1], 3)
    torch.testing.assert_close(streamed(configurations[1], 3, workers=2), alone, atol=0, rtol=0)
    assert torch.equal(torch.get_rng_state(), before)


class Scraps(IterableDataset[list[Tensor]]):
    """So many tensors a batch that a worker is always passing some on."""

    def __iter__(self) -> Iterator[list[Tensor]]:
        while True:
            yield [torch.zeros(50) for _ in range(200)]


@pytest.mark.slow
def test_workers_end_quietly_in_the_midst_of_a_batch(capfd: pytest.CaptureFixture[str]) -> None:
    for _ in range(4):
        loader = DataLoader(
            Scraps(),
            batch_size=None,
            num_workers=2,
            multiprocessing_context="spawn",
            worker_init_fn=end_without_finalizing,
        )
        turns = iter(loader)
        next(turns)
        del turns
    assert "terminate called" not in capfd.readouterr().err


def test_balance_draws_the_rarer_as_often(tmp_path: Path) -> None:
    images = phantoms(60, 32, 1, positive_share=0.1)
    writer = ShardWriter(tmp_path / "set", 60, 0)
    writer.add(images.split(np.zeros(60, dtype=np.bool_)))
    writer.finish()
    section = ShardsData(kind="shards", path=tmp_path / "set", lanes=1, workers=0, balance=True)
    stream = ShardStream(section, Path(), Preprocess(32, 0.5, 99.5, "crop"))
    labels = torch.cat([batch.label for batch in islice(stream.batches(60), 10)])
    # 600 rows: a deviation of 0.02 of the share.
    assert 0.4 < labels.mean().item() < 0.6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lanes": 3}, r"batch_size: expected a multiple of data\.lanes, 3, found 8"),
        ({"workers": 3}, r"data\.workers: expected a divisor of the lanes of a process, 2, found 3"),
        ({"lanes": 7}, r"data\.lanes: expected at most the number of training shards, 6, found 7"),
    ],
)
def test_what_cannot_be_dealt_out_is_refused(
    configurations: tuple[TrainingConfig, TrainingConfig], changes: dict[str, int], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        streamed(configurations[1], 1, **changes)


def test_lanes_that_processes_cannot_share_are_refused(
    configurations: tuple[TrainingConfig, TrainingConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "count", lambda: 3)
    with pytest.raises(processes.ProcessesError, match=r"data\.lanes: expected a multiple .* 3, found 2"):
        streamed(configurations[1], 1)


# --- The training ---


def figures(run: Path, part: str) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / part / "metrics.jsonl").read_text().splitlines()]


def order_of(stream: TrainingConfig, held: TrainingConfig, batch_size: int, batches: int) -> Tensor:
    """Numbers [batches, batch_size], among the images that are held, of those that the stream gives."""
    x = preprocess_images(build_preprocess(held), held.data.load(Path()).train).x.flatten(1)
    section = stream.data
    assert isinstance(section, ShardsData)
    pictures = islice(ShardStream(section, Path(), build_preprocess(stream)).batches(batch_size), batches)
    found = torch.cat([batch.x for batch in pictures]).flatten(1)
    same = (found[:, None] == x[None]).all(2)
    assert (same.sum(1) == 1).all()
    return same.long().argmax(1).view(batches, batch_size)


@pytest.mark.slow
def test_the_losses_are_those_of_images_in_memory_in_the_same_order(
    configurations: tuple[TrainingConfig, TrainingConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, stream = configurations
    runs = tmp_path / "held", tmp_path / "stream"
    epoch = 38 // 16
    epochs = iter(order_of(stream, held, 16, 2 * epoch).view(2, -1))
    batches = iter(order_of(stream, held, 4, 6))
    monkeypatch.setattr(train_classifier, "draw_epoch", lambda *_: next(epochs))
    monkeypatch.setattr(examples, "draw_batch", lambda *_: next(batches))
    for configuration, run in zip(configurations, runs, strict=True):
        train_classifier.train_classifier(configuration, tmp_path, run)
    # The same classifier, to the bit: what is compared next are the generators.
    for configuration, run in zip(configurations, runs, strict=True):
        train_generator(configuration, tmp_path, run)
    # C's decisions and gradients are taken of 4 rows at a time or of all: float32 rounds otherwise (1e-7), and steps
    # amplify it. The figures of watched images are of the same images in another order.
    for part in ("classifier", "generator"):
        for one, other in zip(figures(runs[0], part), figures(runs[1], part), strict=True):
            assert other == pytest.approx(one, rel=1e-4, abs=1e-5)


@pytest.mark.slow
def test_an_interrupted_training_goes_on_to_the_same_end(
    configurations: tuple[TrainingConfig, TrainingConfig], tmp_path: Path
) -> None:
    _, stream = configurations
    train_classifier.train_classifier(stream, tmp_path, tmp_path / "run")
    short = stream.model_copy(update={"generator": stream.generator.model_copy(update={"steps": 3, "decay": 0.0})})
    whole = stream.model_copy(update={"generator": stream.generator.model_copy(update={"decay": 0.0})})
    train_generator(short, tmp_path, tmp_path / "run")
    train_generator(whole, tmp_path, tmp_path / "run")
    interrupted = figures(tmp_path / "run", "generator")
    (tmp_path / "run" / "generator" / "checkpoint.safetensors").unlink()
    (tmp_path / "run" / "generator" / "metrics.jsonl").unlink()
    train_generator(whole, tmp_path, tmp_path / "run")
    assert load_weights(tmp_path / "run" / "generator" / "checkpoint.safetensors", {}) == 6
    assert interrupted == figures(tmp_path / "run", "generator")


def test_the_masked_form_says_that_it_holds_all_images(
    configurations: tuple[TrainingConfig, TrainingConfig], folder: Path, tmp_path: Path
) -> None:
    masked = folder / "masked.toml"
    masked.write_text(
        f'extends = "{folder / "small.toml"}"\n[classifier]\nform = "residual"\nchannels = [4, 4]\n'
        '[generator]\nform = "masked"\nencoder_channels = [4, 4]\n[generator.weights]\nplace = 1.0\n'
    )
    configuration = load_configuration(masked).model_copy(update={"data": configurations[1].data})
    with pytest.raises(RunError, match=r'data\.kind: "shards" can\'t feed generator\.form = "masked"'):
        train_generator(configuration, tmp_path, tmp_path / "run")
