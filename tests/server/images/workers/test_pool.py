"""Films come out of worker processes as they do without; workers are ended, replaced and confined."""

import asyncio
import io
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import data_store
import imagecodecs
import numpy as np
import pydicom
import pydicom.data
import pytest
import tifffile
from PIL import Image as PillowImage
from pydicom.config import disable_value_validation
from tests.server.images.workers.conftest import given_a_file, held_workers, resting_workers

from medxgan.server.errors import ImageError, ImageTooLargeError, MedxganError, StoppingError
from medxgan.server.images.decoding import decode_image
from medxgan.server.images.film import Film
from medxgan.server.images.limits import ImageLimits
from medxgan.server.images.sent import SentImage
from medxgan.server.images.workers.messages import WorkerFailureError
from medxgan.server.images.workers.pool import DecoderPool
from medxgan.v1 import bundle_pb2
from medxgan.v1.explanation_pb2 import Image, PixelSpacing, Tensor

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc")

LIMITS = ImageLimits(maximum_side=16_384, maximum_pixels=50_000_000, maximum_decompressed_bytes=256 * 2**20)
FOLDERS = [Path(str(pydicom.__file__)).parent / "data", Path(next(iter(data_store.__path__)))]
DICOM_FILES = sorted(
    path
    for folder in FOLDERS
    for path in folder.rglob("*")
    if path.is_file() and path.suffix not in (".py", ".pyc", ".json", ".txt", ".md")
)
SMOOTH = np.add.outer(np.arange(64), np.arange(96)).astype(np.uint8)


def slow_file() -> bytes:
    """A PNG whose decoding takes a second: 48 million pixels."""
    file = io.BytesIO()
    PillowImage.new("L", (8000, 6000)).save(file, "PNG", compress_level=1)
    return file.getvalue()


def described(film: Film) -> tuple[object, ...]:
    return film.inverted, film.orientation, film.spacing, film.pixel_aspect, film.frame, film.notes


def outcome(decode) -> Film | str:
    try:
        return decode()
    except MedxganError as error:
        return f"{type(error).__name__} {error}"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # some of the files are odd on purpose
def test_every_file_of_pydicom_is_a_film_or_a_clear_error_and_the_same_in_a_worker(running) -> None:
    assert len(DICOM_FILES) > 200
    films = 0
    for path in DICOM_FILES:
        image = Image(dicom=path.read_bytes())
        here = outcome(lambda image=image: decode_image(image, LIMITS))
        if isinstance(here, str) and "image.frame" in here:
            image.frame = 2
            here = outcome(lambda image=image: decode_image(image, LIMITS))
        there = outcome(lambda image=image: running.runner.run(running.pool.decode(image)))
        if isinstance(here, str):
            assert there == here, path.name
            assert "image.dicom" in here
        else:
            films += 1
            assert isinstance(there, Film), path.name
            np.testing.assert_array_equal(there.levels, here.levels)
            assert described(there) == described(here)
    assert films > 150


def tiff(**options: object) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, SMOOTH, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        *[tiff(compression=name) for name in ("lzw", "zlib", "packbits", "zstd", "lzma", "jpeg", "jpeg2000", "jpegxl")],
        tiff(compression="zlib", predictor=True),
        tiff(bigtiff=True, byteorder=">"),
        imagecodecs.jpeg8_encode(SMOOTH.astype(np.uint16) * 16, bitspersample=12),
        imagecodecs.png_encode(np.stack([SMOOTH.astype(np.uint16)] * 3, -1)),
    ],
)
def test_a_worker_has_loaded_whatever_a_file_needs(running, content: bytes) -> None:
    """It can't open a file any more, a module least of all."""
    image = Image(encoded=content)
    np.testing.assert_array_equal(
        running.runner.run(running.pool.decode(image)).levels, decode_image(image, LIMITS).levels
    )


@pytest.mark.parametrize("stated", ["NOT_A_SET", "latin-9", ["ISO 2022 IR 100", "KLINGON"]])
def test_a_character_set_that_there_is_not_is_no_concern_of_a_picture(running, stated: str | list[str]) -> None:
    file = io.BytesIO()
    with disable_value_validation(), warnings.catch_warnings(action="ignore"):
        dataset = pydicom.dcmread(pydicom.data.get_testdata_file("CT_small.dcm"))
        dataset.SpecificCharacterSet = stated
        pydicom.dcmwrite(file, dataset)
        wanted = dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
    film = running.runner.run(running.pool.decode(Image(dicom=file.getvalue())))
    np.testing.assert_allclose(film.levels, wanted)


def test_a_tensor_and_a_stated_spacing(running) -> None:
    tensor = Tensor(shape=SMOOTH.shape, data_type=bundle_pb2.DATA_TYPE_UINT8, data=SMOOTH.tobytes())
    np.testing.assert_array_equal(running.runner.run(running.pool.decode(Image(tensor=tensor))).levels, SMOOTH)
    image = Image(encoded=tiff(), pixel_spacing=PixelSpacing(row_mm=2, column_mm=1))
    assert running.runner.run(running.pool.decode(image)).pixel_aspect == 2
    with pytest.raises(ImageError, match="expected one of"):
        running.runner.run(running.pool.decode(Image()))
    image = Image(dicom=DICOM_FILES[0].read_bytes(), pixel_spacing=PixelSpacing(row_mm=2, column_mm=1))
    with pytest.raises(ImageError, match=r"pixel_spacing"):
        running.runner.run(running.pool.decode(image))


def test_a_film_outlives_its_worker_and_others(running) -> None:
    first = running.runner.run(running.pool.decode(Image(encoded=tiff())))
    running.runner.run(resting_workers(running))  # the one of that film is gone
    for _ in range(5):
        running.runner.run(running.pool.decode(Image(encoded=imagecodecs.png_encode(255 - SMOOTH))))
    np.testing.assert_array_equal(first.levels, SMOOTH)


LARGE = np.resize(SMOOTH, (1200, 1200))


@pytest.mark.parametrize(
    ("image", "most"),
    [
        (Image(encoded=tiff()), 2),
        (Image(tensor=Tensor(shape=LARGE.shape, data_type=bundle_pb2.DATA_TYPE_UINT8, data=LARGE.tobytes())), 2),
        (Image(tensor=Tensor(shape=SMOOTH.shape, data_type=bundle_pb2.DATA_TYPE_UINT8, data=SMOOTH.tobytes())), 16),
    ],
    ids=["file", "large tensor", "small tensor"],
)
def test_no_more_films_than_there_are_places_exist_at_a_time(running, image: Image, most: int) -> None:
    there = highest = 0
    full = asyncio.Event()

    async def use() -> None:
        nonlocal there, highest
        async with running.pool.film(SentImage.of(image)):
            there += 1
            highest = max(highest, there)
            if there == most:
                full.set()
            await full.wait()
            await asyncio.sleep(0.01)  # for more to come, if there is place for them
            there -= 1

    async def many() -> None:
        await asyncio.gather(*(use() for _ in range(20)))

    running.runner.run(many())
    assert highest == most


def test_a_film_is_told_that_its_turn_has_come(running) -> None:
    tensor = Tensor(shape=SMOOTH.shape, data_type=bundle_pb2.DATA_TYPE_UINT8, data=SMOOTH.tobytes())
    for image in (Image(tensor=tensor), Image(encoded=tiff())):

        async def wait(image: Image = image) -> None:
            turn, wanted = asyncio.Event(), SentImage.of(image)
            async with running.pool.film(SentImage.of(image), urgent=True):
                second = running.pool.film(wanted, urgent=True, on_turn=turn.set)
                waiting = asyncio.create_task(second.__aenter__())
                await asyncio.sleep(0.01)
                assert not turn.is_set()
            await waiting
            assert turn.is_set()
            await second.__aexit__(None, None, None)

        running.runner.run(wait())


@pytest.mark.parametrize("form", ["encoded", "tensor"])
def test_an_urgent_film_waits_for_urgent_ones_alone(running, form: str) -> None:
    tensor = Tensor(shape=SMOOTH.shape, data_type=bundle_pb2.DATA_TYPE_UINT8, data=SMOOTH.tobytes())
    image = Image(encoded=tiff()) if form == "encoded" else Image(tensor=tensor)

    async def full() -> None:
        async with (
            running.pool.film(SentImage.of(image)),
            running.pool.film(SentImage.of(image)),
            running.pool.film(SentImage.of(image), urgent=True) as film,
        ):
            assert film.levels.shape == SMOOTH.shape
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2), running.pool.film(SentImage.of(image), urgent=True):
                    pass

    running.runner.run(full())


def test_more_bytes_than_a_worker_has_room_for_are_refused() -> None:
    pool = DecoderPool(LIMITS, maximum_file_bytes=1000)
    with pytest.raises(ImageTooLargeError, match="1000 bytes"):
        asyncio.run(pool.decode(Image(encoded=bytes(1001))))


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_worker_reads_the_orientation_of_a_picture(running, kind: str) -> None:
    """Pillow loads its reader of EXIF at its first use, which a worker no longer can."""
    exif = PillowImage.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    PillowImage.new("L", (8, 4), 100).save(file, kind, exif=exif)
    film = running.runner.run(running.pool.decode(Image(encoded=file.getvalue())))
    assert film.levels.shape == (8, 4)
    assert film.orientation == 6


def test_a_cancelled_decode_ends_its_worker(running, process_status) -> None:
    content = slow_file()

    async def cancel() -> None:
        async with held_workers(running) as before:
            decoding = asyncio.create_task(running.pool.decode(Image(encoded=content)))
            await given_a_file(running)
            decoding.cancel()
            with pytest.raises(asyncio.CancelledError):
                await decoding
            while all(process_status(process) for process in before):
                await asyncio.sleep(0.005)  # a process that goes on ends this test by its timeout

    running.runner.run(cancel())
    np.testing.assert_array_equal(running.runner.run(running.pool.decode(Image(encoded=tiff()))).levels, SMOOTH)


def test_workers_that_are_killed_are_replaced(running, process_status) -> None:
    async def kill_and_decode() -> Film:
        async with held_workers(running) as workers:
            decoding = asyncio.create_task(running.pool.decode(Image(encoded=slow_file())))
            await given_a_file(running)
            for worker in workers:
                os.kill(worker, signal.SIGKILL)
        with pytest.raises(ImageError, match="limits of time and memory"):
            await decoding
        while any(process_status(worker) for worker in workers):
            await asyncio.sleep(0.005)
        return await running.pool.decode(Image(encoded=tiff()))

    np.testing.assert_array_equal(running.runner.run(kill_and_decode()).levels, SMOOTH)


def test_a_worker_holds_nothing_but_what_it_needs(running, process_status) -> None:
    assert process_status(running.fork_server)["Threads"] == "1", "a fork takes one thread along"
    worker, *_ = running.runner.run(resting_workers(running))
    assert process_status(worker)["NoNewPrivs"] == "1"
    if os.geteuid() == 0:
        assert set(process_status(worker)["Uid"].split()) == {"65534"}
        limits = Path(f"/proc/{worker}/limits").read_text()
        for line in ("Max open files", "Max file size", "Max core file size", "Max processes"):
            (stated,) = (row for row in limits.splitlines() if row.startswith(line))
            assert stated[len(line) :].split()[:2] == ["0", "0"]


@pytest.mark.slow
def test_no_module_of_the_working_directory_is_ever_executed(tmp_path: Path) -> None:
    for name in ("calendar", "pydicom", "json", "imagecodecs", "numpy", "sitecustomize", "usercustomize"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'a').write({name!r})\n")
    program = f"""
import asyncio, os, sys
from medxgan.server.images.limits import ImageLimits
from medxgan.server.images.workers.pool import DecoderPool
from medxgan.v1.explanation_pb2 import Image
os.chdir({str(tmp_path)!r})
sys.path[:0] = ["", {str(tmp_path)!r}]
os.environ["PYTHONPATH"] = {str(tmp_path)!r}
async def main():
    async with DecoderPool(ImageLimits(4096, 2**22, 2**24)) as pool:
        return (await pool.decode(Image(encoded=open({str(tmp_path / "film.tif")!r}, "rb").read()))).levels.shape
print(asyncio.run(main()))
"""
    (tmp_path / "film.tif").write_bytes(tiff())
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd="/")
    assert ran.stdout.strip() == "(64, 96)"
    assert not (tmp_path / "executed").exists()


@pytest.mark.slow
def test_the_server_gone_its_workers_are_gone(tmp_path: Path, process_status, child_processes) -> None:
    program = """
import asyncio, sys
from medxgan.server.images.limits import ImageLimits
from medxgan.server.images.workers.pool import DecoderPool
async def main():
    async with DecoderPool(ImageLimits(4096, 2**22, 2**24)) as pool:
        print("started", flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "started\n"
        (fork_server,) = child_processes(server.pid)
        processes = [fork_server, *child_processes(fork_server)]
        assert len(processes) == 4  # two at work, a spare one, and that which forks
        server.kill()
        server.wait()
        while any(process_status(process).get("State", "Z")[0] != "Z" for process in processes):
            time.sleep(0.02)


@pytest.mark.slow
def test_nothing_is_left_after_stop(child_processes, process_status) -> None:
    program = """
import asyncio, os, sys
from medxgan.server.images.limits import ImageLimits
from medxgan.server.images.workers.pool import DecoderPool
from medxgan.v1.explanation_pb2 import Image
film = Image(encoded=sys.stdin.buffer.read())
async def main():
    async with DecoderPool(ImageLimits(4096, 2**22, 2**24)) as pool:
        await pool.decode(film)
        print("at work", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, os.read, go_on, 1)
before = os.listdir("/proc/self/fd")
go_on = int(sys.argv[1])
asyncio.run(main())
print(len(os.listdir("/proc/self/fd")) - len(before), flush=True)
os.read(go_on, 1)
"""
    told, tells = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-c", program, str(told)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[told]
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(tiff())
        server.stdin.close()
        assert server.stdout.readline() == b"at work\n"
        (fork_server,) = child_processes(server.pid)
        processes = [fork_server, *child_processes(fork_server)]
        os.write(tells, b".")
        assert server.stdout.readline() == b"0\n", "descriptors"
        while any(process_status(process) for process in processes):
            time.sleep(0.02)
        assert child_processes(server.pid) == []
        os.write(tells, b".")
    os.close(told)
    os.close(tells)


@pytest.mark.slow
@pytest.mark.parametrize("ends", ["cancelled", "by itself"])
def test_a_file_that_is_decoded_during_stop_starts_no_worker_any_more(child_processes, ends: str) -> None:
    before = set(child_processes(os.getpid()))

    async def stop_beside() -> None:
        async with DecoderPool(LIMITS) as pool:
            decoding = asyncio.create_task(pool.decode(Image(encoded=slow_file())))
            await asyncio.sleep(0.1)
        if ends == "cancelled":
            decoding.cancel()
        await asyncio.gather(decoding, return_exceptions=True)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        with pytest.raises(StoppingError):
            await pool.decode(Image(encoded=tiff()))

    asyncio.run(stop_beside())
    assert not set(child_processes(os.getpid())) - before


def test_a_pool_that_can_not_start_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(WorkerFailureError):
        asyncio.run(DecoderPool(LIMITS).start())
