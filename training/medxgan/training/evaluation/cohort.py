"""The images that figures are measured on, and how many patients they are of."""

from dataclasses import dataclass

from torch import Tensor

from medxgan.v1.bundle_pb2 import Metric


@dataclass(frozen=True)
class Cohort:
    """Images that figures are measured on.

    Attributes:
        part: which images, in words that follow their number: "true positives of patients not trained on".
        split: of the data, "test".
        patients: of each image [N]; an empty string where unknown.
    """

    part: str
    split: str
    patients: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.patients)

    def __str__(self) -> str:
        return f"{self.split} split, {len(self)} {self.part}"

    @property
    def known_patients(self) -> int:
        """Number of patients; 0 where that of some image is unknown."""
        return 0 if "" in self.patients else len(set(self.patients))

    @property
    def independent(self) -> int:
        """Number of independent observations: of patients, with an image of an unknown patient for one of its own."""
        return len(set(self.patients) - {""}) + self.patients.count("")

    def select(self, chosen: Tensor, part: str) -> "Cohort":
        """The images where `chosen`, bool [N], is True; `part` says which these are."""
        rows = chosen.nonzero()[:, 0].tolist()
        return Cohort(part, self.split, tuple(self.patients[row] for row in rows))

    def metric(self, name: str, value: float, description: str) -> Metric:
        """A figure that was measured on these images."""
        return Metric(
            name=name,
            value=value,
            measured_on=str(self),
            description=description,
            images=len(self),
            patients=self.known_patients,
        )
