"""What may be opened as shared memory, and what is refused."""

import os
from contextlib import suppress
from pathlib import Path

import pytest

from medxgan.server.errors import InvalidRequestError, RegionExistsError, UnknownRegionError, UnsupportedError
from medxgan.server.open_inference.shared_memory import MAXIMUM_REGIONS, SHARED_MEMORY, SharedMemory
from medxgan.server.open_inference.tensors import Place
from medxgan.server.settings import ServerSettings

CONTENT = bytes(range(100))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """In the place of /dev/shm: one object, and beside it what is none."""
    objects = tmp_path / "shm"
    objects.mkdir()
    (objects / "object").write_bytes(CONTENT)
    (objects / "sem.object").write_bytes(CONTENT)
    (objects / ".hidden").write_bytes(CONTENT)
    (objects / "folder").mkdir()
    (objects / "folder" / "object").write_bytes(CONTENT)
    (tmp_path / "secret").write_bytes(CONTENT)
    (objects / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(objects / "pipe")
    return objects


@pytest.fixture
def regions(folder: Path) -> SharedMemory:
    return SharedMemory(allowed=True, folder=folder)


def test_a_region_is_a_part_of_an_object(regions: SharedMemory, folder: Path) -> None:
    regions.register("part", "/object", 10, 20)
    (region,) = regions.status("")
    assert (region.name, region.key, region.offset, region.byte_size) == ("part", "/object", 10, 20)
    assert region.read(5, 3, "inputs.image") == CONTENT[15:18]
    region.write(17, b"end", "outputs.score")
    assert (folder / "object").read_bytes() == CONTENT[:27] + b"end" + CONTENT[30:]


@pytest.mark.parametrize("left", [0, 1])
def test_what_has_no_room_in_memory_is_not_cut_in_silence(
    regions: SharedMemory, monkeypatch: pytest.MonkeyPatch, left: int
) -> None:
    """As tmpfs is when it is full: it writes what there is room for, or says that there is none."""

    def full(file: int, content: bytes, offset: int) -> int:
        if not left:
            raise OSError(28, "No space left on device")
        return left

    regions.register("part", "/object", 0, 20)
    (region,) = regions.status("")
    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(InvalidRequestError, match=r"^outputs\.score: expected room for 8 bytes, but shared memory is"):
        region.write(0, bytes(8), "outputs.score")


KEYS = ["/", ".", "..", "../secret", "/../secret", "//object", "folder/object", ".hidden", "object\0"]


@pytest.mark.parametrize("key", ["", "ob ject", "o" * 300, "sem.object", "/sem.object", *KEYS])
def test_a_key_is_a_plain_name(regions: SharedMemory, key: str) -> None:
    with pytest.raises(InvalidRequestError, match="key: expected the name of a shared memory object"):
        regions.register("region", key, 0, 1)


@pytest.mark.parametrize("key", ["link", "nothing"])
def test_neither_a_link_nor_nothing_is_opened(regions: SharedMemory, key: str) -> None:
    with pytest.raises(InvalidRequestError, match="key: expected a shared memory object that can be opened"):
        regions.register("region", key, 0, 1)


@pytest.mark.parametrize("key", ["pipe", "folder"])
def test_what_is_no_file_is_refused_at_once(regions: SharedMemory, key: str) -> None:
    with pytest.raises(InvalidRequestError, match="key: expected a shared memory object"):
        regions.register("region", key, 0, 1)


@pytest.mark.parametrize(("offset", "byte_size"), [(0, 101), (100, 1), (2**63, 1), (1, 2**64 - 1)])
def test_a_region_lies_within_its_object(regions: SharedMemory, offset: int, byte_size: int) -> None:
    with pytest.raises(InvalidRequestError, match="byte_size: expected a part of the object's 100 bytes"):
        regions.register("region", "object", offset, byte_size)


def test_a_region_has_bytes_and_a_name(regions: SharedMemory) -> None:
    with pytest.raises(InvalidRequestError, match="byte_size: expected 1 or more"):
        regions.register("region", "object", 0, 0)
    with pytest.raises(InvalidRequestError, match="name: expected a name"):
        regions.register("", "object", 0, 1)


@pytest.mark.parametrize(("offset", "byte_size"), [(0, 21), (20, 1), (-1, 1), (5, -1), (2**62, 2**62)])
def test_a_tensor_lies_within_its_region(regions: SharedMemory, offset: int, byte_size: int) -> None:
    regions.register("region", "object", 10, 20)
    with pytest.raises(InvalidRequestError, match=r"outputs\.score\.shared_memory_byte_size: expected a part"):
        Place(regions.find("region"), offset, byte_size, "outputs.score")


def test_an_output_has_room_in_its_place(regions: SharedMemory, folder: Path) -> None:
    regions.register("region", "object", 0, 100)
    place = Place(regions.find("region"), 0, 7, "outputs.score")
    with pytest.raises(InvalidRequestError, match="expected 8 or more for this output, got 7"):
        place.write(bytes(8))
    assert (folder / "object").read_bytes() == CONTENT


def test_an_object_that_was_shortened_is_refused_and_not_made_longer(regions: SharedMemory, folder: Path) -> None:
    regions.register("region", "object", 0, 100)
    os.truncate(folder / "object", 50)
    region = regions.find("region")
    with pytest.raises(InvalidRequestError, match=r"inputs\.image: .* shortened"):
        region.read(0, 100, "inputs.image")
    with pytest.raises(InvalidRequestError, match=r"outputs\.score: .* shortened"):
        region.write(45, bytes(8), "outputs.score")
    assert (folder / "object").stat().st_size == 50


def test_a_name_is_given_once_until_it_is_forgotten(regions: SharedMemory) -> None:
    regions.register("region", "object", 0, 1)
    with pytest.raises(RegionExistsError, match="a region region is registered already"):
        regions.register("region", "object", 0, 1)
    regions.unregister("region")
    regions.unregister("region")
    with pytest.raises(UnknownRegionError, match="no region region of system shared memory is registered"):
        regions.status("region")
    regions.register("region", "object", 0, 1)
    regions.register("other", "object", 0, 1)
    regions.unregister("")
    assert regions.status("") == []


def test_regions_are_bounded_in_number(regions: SharedMemory) -> None:
    for number in range(MAXIMUM_REGIONS):
        regions.register(f"region {number}", "object", 0, 1)
    with pytest.raises(InvalidRequestError, match=f"expected at most {MAXIMUM_REGIONS} regions"):
        regions.register("one more", "object", 0, 1)


def open_files(folder: Path) -> list[str]:
    """Those of the folder that this process has open."""
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # it was closed meanwhile, by whoever else there is in this process
            found.append(str(descriptor.readlink()))
    return [each for each in found if each.startswith(str(folder))]


def test_no_file_stays_open_and_a_request_under_way_keeps_its_own(regions: SharedMemory, folder: Path) -> None:
    regions.register("region", "object", 0, 100)
    place = Place(regions.find("region"), 0, 3, "inputs.image")
    regions.unregister("")
    assert place.read() == CONTENT[:3]
    assert open_files(folder) == [str(folder / "object")]
    del place
    for key, byte_size in (("object", 101), ("pipe", 1), ("link", 1)):
        with pytest.raises(InvalidRequestError):
            regions.register("region", key, 0, byte_size)
    assert open_files(folder) == []


def test_nothing_is_registered_where_it_is_not_allowed(folder: Path) -> None:
    regions = SharedMemory(allowed=False, folder=folder)
    with pytest.raises(UnsupportedError, match="takes no shared memory"):
        regions.register("region", "object", 0, 1)
    regions.unregister("")
    assert regions.status("") == []


@pytest.mark.parametrize(
    ("address", "choice", "takes"),
    [
        ("127.0.0.1:50051", "auto", True),
        ("127.1.2.3:50051", "auto", True),
        ("[::1]:50051", "auto", True),
        ("localhost:50051", "auto", True),
        ("unix:/run/medxgan", "auto", True),
        ("unix-abstract:medxgan", "auto", True),
        ("0.0.0.0:50051", "auto", False),
        ("[::]:50051", "auto", False),
        ("192.168.1.7:50051", "auto", False),
        ("localhost.example.org:50051", "auto", False),
        ("0.0.0.0:50051", "on", True),
        ("127.0.0.1:50051", "off", False),
    ],
)
def test_it_is_allowed_where_only_this_host_can_ask_or_the_operator_says_so(
    address: str, choice: str, takes: bool
) -> None:
    assert ServerSettings(address=address, shared_memory=choice, insecure=True).takes_shared_memory == takes


def test_objects_lie_where_linux_has_them() -> None:
    assert Path("/dev/shm") == SHARED_MEMORY
