"""Files that have stalled or blown up a server are refused by small means, and stall nobody."""

import asyncio
import functools
import io
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image as PillowImage
from pydicom.data import get_testdata_file
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, RLELossless
from tests.server.images.workers.conftest import Running, given_a_file, held_workers

from medxgan.server.errors import ImageError, ImageTooLargeError, MedxganError
from medxgan.server.images.film import Film
from medxgan.server.images.limits import ImageLimits
from medxgan.server.images.workers.pool import DecoderPool
from medxgan.v1 import bundle_pb2
from medxgan.v1.explanation_pb2 import Image, Tensor

SMALL = np.zeros((4, 4), np.uint8)
TENSOR = Image(tensor=Tensor(shape=SMALL.shape, data_type=bundle_pb2.DATA_TYPE_UINT8, data=SMALL.tobytes()))


@functools.cache
def deflated(write: Callable[..., bytes], unfolded: int, group_length: int | None) -> bytes:
    """A deflated object that is mostly zeros; the length of its meta information may reach into it."""
    content = write(SMALL, syntax=DeflatedExplicitVRLittleEndian)
    meta_end = 144 + int.from_bytes(content[140:144], "little")
    compressor = zlib.compressobj(1, wbits=-zlib.MAX_WBITS)
    body = zlib.decompress(content[meta_end:], -zlib.MAX_WBITS)
    bomb = compressor.compress(body)
    for _ in range(unfolded // 2**20):
        bomb += compressor.compress(bytes(2**20))
    bomb += compressor.flush()
    head = content[:meta_end]
    if group_length is not None:
        head = head[:140] + struct.pack("<I", group_length) + head[144:]
    return head + bomb


def repeated_scans(side: int, times: int) -> bytes:
    """A progressive JPEG whose last scan comes again and again."""
    file = io.BytesIO()
    random = np.random.default_rng(0).integers(0, 256, (side // 8, side // 8), np.uint8)
    PillowImage.fromarray(random).resize((side, side)).save(file, "JPEG", progressive=True)
    content = file.getvalue()
    last = content.rindex(b"\xff\xda")
    return content[:last] + content[last:-2] * times + content[-2:]


async def decode_beside_tensors(running: Running, contents: Sequence[Image]) -> list[Film | BaseException]:
    """Decode files, and tensors beside them: some surely, since the workers stand still meanwhile. How long each waits
    is measured by `make abuse`."""
    async with held_workers(running):
        decoding = asyncio.gather(*(running.pool.decode(each) for each in contents), return_exceptions=True)
        await given_a_file(running)
        for _ in range(10):
            await running.pool.decode(TENSOR)
        assert not decoding.done()
    while not decoding.done():
        await running.pool.decode(TENSOR)
        await asyncio.sleep(0.001)
    return await decoding


def peak_bytes(process: int, process_status) -> int:
    return int(process_status(process).get("VmHWM", "0 kB").split()[0]) * 1024


@pytest.mark.slow
@pytest.mark.parametrize("group_length", [None, 0, 0x7FFFFFF0])
def test_a_deflated_bomb(running, write: Callable[..., bytes], group_length: int | None) -> None:
    content = deflated(write, 2**29, group_length)
    assert len(content) < 4 * 2**20

    (refusal,) = running.runner.run(decode_beside_tensors(running, [Image(dicom=content)]))
    assert isinstance(refusal, ImageTooLargeError)
    assert "when decompressed" in str(refusal)


def test_a_jpeg_that_repeats_its_scans_is_refused_by_its_header(running, write: Callable[..., bytes]) -> None:
    content = repeated_scans(400, 1000)
    with pytest.raises(ImageError, match="fewer scans"):
        running.runner.run(running.pool.decode(Image(encoded=content)))
    as_dicom = write(np.zeros((400, 400), np.uint8), syntax=UID("1.2.840.10008.1.2.4.55"), compressed=[content])
    with pytest.raises(ImageError, match="fewer scans"):
        running.runner.run(running.pool.decode(Image(dicom=as_dicom)))


@pytest.mark.slow
def test_what_computes_for_too_long_is_ended() -> None:
    limits = ImageLimits(maximum_side=4096, maximum_pixels=2**24, maximum_decompressed_bytes=2**26)
    content = repeated_scans(4000, 80)

    async def attack(**settings: float) -> None:
        async with DecoderPool(limits, workers=1, **settings) as pool:
            with pytest.raises(ImageError, match=r"seconds|time"):
                await pool.decode(Image(encoded=content))
            assert (await pool.decode(TENSOR)).levels.shape == (4, 4)

    asyncio.run(attack(seconds=0.3))
    asyncio.run(attack(cpu_seconds=1, seconds=60))


@pytest.mark.slow
def test_a_small_file_has_little_time(running) -> None:
    """A kilobyte of JPEG-LS that CharLS computes on for a quarter of a minute, found by damaging files."""
    content = Path(str(get_testdata_file("SC_rgb_jls_lossy_sample.dcm"))).read_bytes()
    content = content[:797] + b"\x01\x25\x91" + content[797:]
    with pytest.raises(ImageError, match=r"limits of time and memory|decoded within|compressed frame"):
        running.runner.run(running.pool.decode(Image(dicom=content)))


@pytest.mark.slow
def test_what_takes_too_much_memory_is_ended(write: Callable[..., bytes]) -> None:
    generous = ImageLimits(maximum_side=2**30, maximum_pixels=2**30, maximum_decompressed_bytes=2**40)
    content = deflated(write, 2**29, None)

    async def attack() -> None:
        async with DecoderPool(generous, workers=1, memory_bytes=256 * 2**20, maximum_file_bytes=2**22) as pool:
            with pytest.raises(ImageError, match="256 MiB"):
                await pool.decode(Image(dicom=content))
            await pool.decode(Image(encoded=imagecodecs.png_encode(np.zeros((20, 20), np.uint8))))

    asyncio.run(attack())


@pytest.mark.slow
def test_the_memory_of_a_worker_is_bounded(
    running, write: Callable[..., bytes], child_processes, process_status
) -> None:
    """The highest of the bombs, seen from the system: what may unfold is 256 MiB."""
    content = deflated(write, 2**29, 0x7FFFFFF0)
    peak = 0

    async def attack() -> None:
        nonlocal peak
        decoding = asyncio.create_task(running.pool.decode(Image(dicom=content)))
        while not decoding.done():
            peak = max([peak, *(peak_bytes(worker, process_status) for worker in child_processes(running.fork_server))])
            await asyncio.sleep(0.005)
        with pytest.raises(ImageTooLargeError):
            await decoding

    running.runner.run(attack())
    assert peak < 2**30  # it was 3.2 GB


@pytest.mark.slow
def test_thirty_jpeg_ls_films_at_once(running, write: Callable[..., bytes]) -> None:
    values = np.random.default_rng(0).integers(0, 4096, (512, 512), np.uint16)
    frame = imagecodecs.jpegls_encode(values)
    content = write(values, stored=12, syntax=UID("1.2.840.10008.1.2.4.80"), compressed=[frame])

    for film in running.runner.run(decode_beside_tensors(running, [Image(dicom=content) for _ in range(30)])):
        np.testing.assert_array_equal(film.levels, values)


def test_a_run_length_segment_of_8_mb_for_16_pixels(running, write: Callable[..., bytes]) -> None:
    segment = b"\x81\x00" * (4 * 2**20)
    frame = (1).to_bytes(4, "little") + (64).to_bytes(4, "little") + bytes(56) + segment
    content = write(SMALL, syntax=RLELossless, compressed=[frame])
    with pytest.raises(ImageError, match="segments of 16 bytes"):
        running.runner.run(running.pool.decode(Image(dicom=content)))


@functools.cache
def bombs() -> dict[str, bytes]:
    """Of 2.5 gigapixels; with more data than pixels; with a compressed text; with a strip that unfolds to 256 MB."""
    zeros = text = zlib.compress(bytes(2**28), 1)
    png = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 0, 0, 0, 0)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    entries = {256: 16, 257: 16, 258: 8, 259: 8, 262: 1, 273: 8, 277: 1, 278: 16, 279: len(zeros)}
    directory = struct.pack("<H", len(entries)) + b"".join(
        struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries.items()
    )
    tiff = b"II*\0" + struct.pack("<I", 8 + len(zeros)) + zeros + directory + bytes(4)
    small = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 8, 0, 0, 0, 0))
    return {
        "large PNG": b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", png) + chunk(b"IDAT", zeros),
        "PNG with data": b"\x89PNG\r\n\x1a\n" + small + chunk(b"IDAT", zeros) + chunk(b"IEND", b""),
        "PNG with text": b"\x89PNG\r\n\x1a\n"
        + small
        + chunk(b"zTXt", b"x\0\0" + text)
        + chunk(b"IDAT", zlib.compress(bytes(20)))
        + chunk(b"IEND", b""),
        "TIFF": tiff,
    }


@pytest.mark.parametrize("kind", ["large PNG", "PNG with data", "PNG with text", "TIFF"])
def test_other_bombs_end(running, kind: str) -> None:
    try:
        film: Film | None = running.runner.run(running.pool.decode(Image(encoded=bombs()[kind])))
    except ImageError:
        film = None
    assert film is None or film.levels.size <= 256


def test_a_chain_of_tiff_pages_without_end(running) -> None:
    file = io.BytesIO()
    tifffile.imwrite(file, np.zeros((4, 4), np.uint8), metadata=None)
    content = bytearray(file.getvalue())
    first = struct.unpack("<I", content[4:8])[0]
    entries = struct.unpack("<H", content[first : first + 2])[0]
    link = first + 2 + 12 * entries
    content[link : link + 4] = struct.pack("<I", first)
    with pytest.raises(ImageError, match="less than 10000 pages"):
        running.runner.run(running.pool.decode(Image(encoded=bytes(content))))


def test_files_wait_for_files_and_tensors_for_nothing(running) -> None:
    """Both workers are kept busy; a tensor goes past them."""
    file = io.BytesIO()
    PillowImage.new("L", (64, 64)).save(file, "PNG")

    films = running.runner.run(decode_beside_tensors(running, [Image(encoded=file.getvalue()) for _ in range(4)]))
    assert [film.levels.shape for film in films] == [(64, 64)] * 4


def test_damaged_files_of_every_kind_end_in_a_film_or_an_error_that_names_the_field(running) -> None:
    random = np.random.default_rng(0)
    refusals: list[str] = []
    whole = [
        ("encoded", imagecodecs.png_encode(np.zeros((20, 20), np.uint8))),
        ("encoded", imagecodecs.jpeg8_encode(np.zeros((20, 20), np.uint8))),
        ("dicom", Path(str(get_testdata_file("MR_small_jp2klossless.dcm"))).read_bytes()),
        ("dicom", Path(str(get_testdata_file("JPGExtended.dcm"))).read_bytes()),
        (
            "dicom",
            Path(str(get_testdata_file("MR_small_jpeg_ls_lossless.dcm"))).read_bytes(),
        ),
    ]

    async def decode(form: str, content: bytes) -> None:
        try:
            film = await running.pool.decode(Image(**{form: content}))
            assert np.isfinite(film.levels).all()
        except MedxganError as error:
            refusals.append(str(error))

    async def all_of_them() -> None:
        for _ in range(60):
            form, content = whole[random.integers(len(whole))]
            damaged = bytearray(content)
            for place in random.integers(0, len(damaged), 5):
                damaged[place] = random.integers(256)
            await decode(form, bytes(damaged[: random.integers(len(damaged) // 2, len(damaged) + 1)]))

    running.runner.run(all_of_them())
    assert refusals
    assert all(refusal.startswith("image.") for refusal in refusals)
