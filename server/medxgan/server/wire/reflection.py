"""Descriptors for reflection: those of the process's pool and of others, put together."""

from collections.abc import Iterable

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pool import DescriptorPool


def pool_of(files: Iterable[FileDescriptor]) -> DescriptorPool:
    """A pool of these files and of all that they import, whichever pools they are of.

    Args:
        files: no two of one name, nor with a symbol of one name.
    """
    pool, added = DescriptorPool(), set[str]()

    def add(file: FileDescriptor) -> None:
        if file.name in added:
            return
        added.add(file.name)
        for imported in file.dependencies:
            add(imported)
        pool.AddSerializedFile(file.serialized_pb)  # type: ignore[no-untyped-call]

    for file in files:
        add(file)
    return pool
