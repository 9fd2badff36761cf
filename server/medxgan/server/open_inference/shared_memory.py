"""Regions of system shared memory that callers of this host have registered for their tensors."""

import os
import re
import stat
import weakref
from dataclasses import dataclass
from pathlib import Path

from medxgan.server.errors import InvalidRequestError, RegionExistsError, UnknownRegionError, UnsupportedError, shown

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where POSIX shared memory objects lie on Linux
"""The folder of the shared memory objects."""

MAXIMUM_REGIONS = 256
"""Regions that may be registered at once, each an open file."""

_KEY = re.compile(r"/?([A-Za-z0-9_-][A-Za-z0-9._-]{0,253})")
_SEMAPHORE = "sem."
"""POSIX semaphores lie in the same folder under names that begin so."""

REFUSAL = (
    "this server takes no shared memory: it listens beyond this host, or its setting shared_memory is off; "
    "send the tensors in the request"
)


@dataclass(frozen=True)
class Region:
    """A registered region.

    It is read and written as a file: whoever shortens a mapped object ends the process that touches the mapping. The
    file is closed when nobody has the region any more, also a request under way.

    Attributes:
        name: by which requests name it.
        key: of the shared memory object.
        offset: where in the object it begins, in bytes.
        byte_size: its size.
        file: the open object.
    """

    name: str
    key: str
    offset: int
    byte_size: int
    file: int

    def read(self, offset: int, byte_size: int, field: str) -> bytes:
        """Read a part.

        Raises:
            InvalidRequestError: naming the field, where the part does not lie in the region.
        """
        self.check(offset, byte_size, field)
        content = os.pread(self.file, byte_size, self.offset + offset)
        if len(content) != byte_size:
            raise InvalidRequestError(field, f"expected {byte_size} bytes, but its object was shortened")
        return content

    def write(self, offset: int, content: bytes, field: str) -> None:
        """Write a part.

        Raises:
            InvalidRequestError: naming the field, where the part is not in the region, or has no memory behind it.
        """
        self.check(offset, len(content), field)
        if os.fstat(self.file).st_size < self.offset + offset + len(content):
            raise InvalidRequestError(field, f"expected room for {len(content)} bytes, but its object was shortened")
        try:
            written = os.pwrite(self.file, content, self.offset + offset)
        except OSError:  # an object has pages where something was written, for as long as there is memory
            written = 0
        if written != len(content):
            raise InvalidRequestError(field, f"expected room for {len(content)} bytes, but shared memory is full")

    def check(self, offset: int, byte_size: int, field: str) -> None:
        """Refuse a part that does not lie in the region.

        Raises:
            InvalidRequestError: naming the field.
        """
        if offset < 0 or byte_size < 0 or offset + byte_size > self.byte_size:
            raise InvalidRequestError(
                field, f"expected a part of the region's {self.byte_size} bytes, got {byte_size} from {offset} on"
            )


class SharedMemory:
    """The registered regions, by name. Used from one event loop.

    Args:
        allowed: whether regions may be registered. Whoever may register one may read and write every shared memory
            object that this process may, by way of its images and maps.
        folder: of the shared memory objects.
    """

    def __init__(self, *, allowed: bool, folder: Path = SHARED_MEMORY) -> None:
        self.allowed = allowed
        self._folder = folder
        self._regions: dict[str, Region] = {}

    def register(self, name: str, key: str, offset: int, byte_size: int) -> None:
        """Register a region.

        Args:
            name: by which requests will name it.
            key: name of the shared memory object, with or without a slash before it.
            offset: where in the object it begins, in bytes.
            byte_size: its size.

        Raises:
            UnsupportedError: no regions may be registered.
            RegionExistsError: there is a region of that name.
            InvalidRequestError: naming what is wrong.
        """
        if not self.allowed:
            raise UnsupportedError(REFUSAL)
        if not name:
            raise InvalidRequestError("name", "expected a name, got none")
        if name in self._regions:
            raise RegionExistsError(f"a region {shown(name)} is registered already")
        if len(self._regions) >= MAXIMUM_REGIONS:
            raise InvalidRequestError("name", f"expected at most {MAXIMUM_REGIONS} regions at once")
        matched = _KEY.fullmatch(key)
        if matched is None or matched[1].startswith(_SEMAPHORE):
            raise InvalidRequestError("key", "expected the name of a shared memory object")
        if byte_size < 1:
            raise InvalidRequestError("byte_size", "expected 1 or more, got 0")
        file = self._open(matched[1])
        size = os.fstat(file).st_size
        if offset + byte_size > size:
            os.close(file)
            raise InvalidRequestError(
                "byte_size", f"expected a part of the object's {size} bytes, got {byte_size} from {offset} on"
            )
        region = Region(name, key, offset, byte_size, file)
        weakref.finalize(region, os.close, file)
        self._regions[name] = region

    def unregister(self, name: str) -> None:
        """Forget a region, or all where the name is empty. One that is not registered is none to forget."""
        if name:
            self._regions.pop(name, None)
        else:
            self._regions.clear()

    def status(self, name: str) -> list[Region]:
        """A region, or all where the name is empty.

        Raises:
            UnknownRegionError: there is no region of that name.
        """
        return [self.find(name)] if name else list(self._regions.values())

    def find(self, name: str) -> Region:
        """The region of a name.

        Raises:
            UnknownRegionError: there is none.
        """
        region = self._regions.get(name)
        if region is None:
            raise UnknownRegionError(f"no region {shown(name)} of system shared memory is registered")
        return region

    def _open(self, key: str) -> int:
        # Neither a link out of the folder nor a pipe that keeps the opener waiting.
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            file = os.open(self._folder / key, flags)
        except OSError as error:
            raise InvalidRequestError("key", "expected a shared memory object that can be opened") from error
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise InvalidRequestError("key", "expected a shared memory object, got something else")
        return file
