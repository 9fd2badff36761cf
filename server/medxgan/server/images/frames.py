"""Which frame of an image with several is read."""

from medxgan.server.errors import ImageError

FRAME_FIELD = "image.frame"


def frame_index(frames: int, asked: int) -> int:
    """Which frame to read, from 0.

    Args:
        frames: how many there are.
        asked: the frame asked for, from 1; 0 where none was.

    Raises:
        ImageError: there is no such frame, or there are several and none was asked for.
    """
    if asked > frames:
        raise ImageError(FRAME_FIELD, f"expected 1 to {frames}, got {asked}")
    if asked == 0 and frames > 1:
        raise ImageError(FRAME_FIELD, f"expected 1 to {frames} of an object with {frames} frames, got none")
    return max(asked, 1) - 1
