"""The film, and the film less the difference, as pictures to be played."""

import numpy as np
import pytest
from tests.gateway.results.explanations import make_explanation, to_map
from tests.gateway.results.films import centre_of_mass, make_film, spot

from medxgan.client import Orientation
from medxgan.client.geometry import Box
from medxgan.gateway.results.errors import UnusableFilmError
from medxgan.gateway.results.film import displayed
from medxgan.gateway.results.outputs import Outputs
from medxgan.gateway.results.series import result_series

SHAPE = (480, 400)
CENTRE = (200.0, 150.0)


def only(pictures: int = 2) -> Outputs:
    return Outputs(secondary_capture=False, report=False, parametric_map=False, segmentation=False, trajectory=pictures)


def anatomy() -> np.ndarray:
    """Levels of 4096 that vary slowly over the film, far from black and white."""
    rows, columns = np.ogrid[: SHAPE[0], : SHAPE[1]]
    return (2048 + 800 * np.sin(rows / 60) * np.cos(columns / 50)).astype(np.uint16)


def explained(trajectory: int = 0):
    """A film, and an explanation whose x is 0.5 where the film is at 3/4 of its range, as the window of the film is."""
    stored = anatomy()
    box = Box(0, 0, *SHAPE)
    original = to_map(stored / 2048.0 - 1, Orientation.AS_STORED, box)
    difference = 0.5 * to_map(spot(SHAPE, CENTRE, 20), Orientation.AS_STORED, box)
    film = make_film(stored, WindowCenter=2048, WindowWidth=4096)
    return film, make_explanation(SHAPE, difference, original=original, trajectory=trajectory)


def grey_frames(result) -> np.ndarray:
    frames = result.pixel_array.astype(np.float32)
    assert not np.ptp(frames[:, :-40], axis=-1).any()
    return frames[:, :-40, :, 0]


def test_the_first_picture_is_the_film_and_the_second_lacks_the_difference() -> None:
    film, explanation = explained()
    (result,) = result_series(film, explanation, only())
    first, second = grey_frames(result)
    shown = displayed(film).levels[:-40]
    assert np.abs(first - shown).max() <= 0.5
    # One unit of x is 127.5 grey levels of this film; the difference is laid on it by the client.
    taken = 127.5 * np.nan_to_num(explanation.geometry.lay_on_film(explanation.difference))[:-40]
    assert np.abs((first - second) - taken).max() < 3
    assert centre_of_mass(np.maximum(0, first - second)) == pytest.approx(CENTRE, abs=1)


def test_a_trajectory_takes_more_and_more_away() -> None:
    film, explanation = explained(trajectory=5)
    (result,) = result_series(film, explanation, only(5))
    frames = grey_frames(result)
    assert len(frames) == result.NumberOfFrames == 5
    taken = [float((frames[0] - frame).sum()) for frame in frames]
    assert taken[0] == 0
    assert np.allclose(np.array(taken[1:]) / taken[-1], [0.25, 0.5, 0.75, 1.0], atol=0.02)


def test_it_is_played_there_and_back() -> None:
    film, explanation = explained(trajectory=4)
    (result,) = result_series(film, explanation, only(4))
    assert result.FrameIncrementPointer == 0x00181063
    assert result.FrameTime == 300
    assert result.PreferredPlaybackSequencing == 1
    assert result.BurnedInAnnotation == "YES"


def test_a_flat_film_stays_as_it_is() -> None:
    film = make_film(np.full(SHAPE, 1000, np.uint16), WindowCenter=2048, WindowWidth=4096)
    difference = np.zeros((32, 32), np.float32)
    difference[4:8, 4:8] = 1
    (result,) = result_series(film, make_explanation(SHAPE, difference), only())
    first, second = grey_frames(result)
    np.testing.assert_array_equal(first, second)


def test_more_pictures_than_an_object_has_room_for_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    film, explanation = explained()
    monkeypatch.setattr("medxgan.gateway.results.blink.MOST_BYTES", 6 * SHAPE[0] * SHAPE[1] - 1)
    with pytest.raises(UnusableFilmError, match="Rows, Columns: expected a film of which 2 pictures"):
        result_series(film, explanation, only())


def test_a_trajectory_of_another_length_is_refused() -> None:
    film, explanation = explained(trajectory=3)
    with pytest.raises(LookupError, match="trajectory of 5 pictures, got 3"):
        result_series(film, explanation, only(5))


@pytest.mark.parametrize("pictures", [1, 65])
def test_so_many_pictures_are_not_to_be_had(pictures: int) -> None:
    with pytest.raises(ValueError, match=r"outputs\.trajectory: expected 2 to 64"):
        Outputs(trajectory=pictures)


def test_outputs_say_what_an_explanation_has_to_carry() -> None:
    assert Outputs(trajectory=2).requested_trajectory is None
    assert Outputs(trajectory=9).requested_trajectory == 9
    assert Outputs(trajectory=9, blink=False).requested_trajectory is None
