"""Which objects are made of an explanation."""

from dataclasses import dataclass

from medxgan.client import MapKind


@dataclass(frozen=True)
class Outputs:
    """Which objects are made of an explanation.

    Attributes:
        secondary_capture: the difference in colour over the film, at the film's size.
        blink: a multi-frame picture that goes from the film to the film less the difference.
        report: a structured report (TID 1500): scores, verdict, regions.
        parametric_map: the difference as numbers, at the film's size.
        segmentation: the regions that the evidence lies in.
        presentation_state: the outlines of these regions, for a viewer to draw over the film itself.
        blending: the film under its Secondary Capture, for a viewer to fade between the two; it needs that picture.
        show_unreliable: make all of these whatever the verdict is. Otherwise an explanation that is not RELIABLE gets
            its report alone, without regions: a coloured overlay persuades whatever its quality.
        trajectory: pictures of `blink`, both ends counted, 2 to 64. Two are the film and the film less the difference;
            with more, the explanation has to carry a trajectory of as many.
    """

    secondary_capture: bool = True
    blink: bool = True
    report: bool = True
    parametric_map: bool = True
    segmentation: bool = True
    presentation_state: bool = False
    blending: bool = False
    show_unreliable: bool = False
    trajectory: int = 2

    def __post_init__(self) -> None:
        if not 2 <= self.trajectory <= 64:
            raise ValueError(f"outputs.trajectory: expected 2 to 64, got {self.trajectory}")
        if self.blending and not self.secondary_capture:
            raise ValueError("outputs.blending: expected secondary_capture, which it blends with the film")

    @property
    def maps(self) -> tuple[MapKind, ...]:
        """The maps that an explanation has to carry for these objects.

        `EVIDENCE` may be left out of a model that does not have it: the regions are those of the difference then.
        """
        return (MapKind.ORIGINAL, MapKind.RECONSTRUCTION, MapKind.DIFFERENCE, MapKind.EVIDENCE)

    @property
    def requested_trajectory(self) -> int | None:
        """Pictures of a trajectory that an explanation has to carry; None for none."""
        return self.trajectory if self.blink and self.trajectory > 2 else None
