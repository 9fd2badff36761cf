"""One frame of an object: what its functional groups say of it (DICOM PS3.3, C.7.6.16)."""

from dataclasses import dataclass

from pydicom.dataset import Dataset

from medxgan.server.images.dicom.errors import refused


@dataclass(frozen=True)
class Frame:
    """What an object says of one of its frames.

    Attributes:
        index: the frame, from 0.
        dataset: the object.
        groups: its functional groups of this frame, then those that all frames share.
    """

    index: int
    dataset: Dataset
    groups: tuple[Dataset, ...]

    @classmethod
    def of(cls, dataset: Dataset, index: int) -> "Frame":
        """Collect the functional groups of a frame.

        Raises:
            ImageError: there are groups per frame, and none for this one.
        """
        groups = []
        if per_frame := dataset.get("PerFrameFunctionalGroupsSequence"):
            if index >= len(per_frame):
                raise refused("PerFrameFunctionalGroupsSequence", "expected an item for each frame")
            groups.append(per_frame[index])
        if shared := dataset.get("SharedFunctionalGroupsSequence"):
            groups.append(shared[0])
        return cls(index, dataset, tuple(groups))

    def holder(self, macro: str, *keywords: str) -> Dataset:
        """The data set that holds the first of these elements for this frame.

        Args:
            macro: keyword of the functional group that the elements stand in.
            keywords: of the elements, of which one is enough.

        Returns:
            The item of the frame's own group, else of the shared one, else the object itself.
        """
        for group in self.groups:
            items = group.get(macro)
            if items and any(keyword in items[0] for keyword in keywords):
                item: Dataset = items[0]
                return item
        return self.dataset
