"""What every model has done so far, as Triton counts it, whichever service asked it."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum

from medxgan.server.errors import BusyError, MedxganError, TimedOutError
from medxgan.server.stopwatch import Phase, Stopwatch

_COMPUTE = (Phase.INVERSION, Phase.POSITIVE_REALIZATION, Phase.MAPS)

Model = tuple[str, str]
"""Name and version."""


class FailureReason(StrEnum):
    """Why a request failed, by Triton's names."""

    REJECTED = "REJECTED"
    """There was no room for it, or no time."""
    CANCELED = "CANCELED"
    """Its caller has gone, or it took longer than any may."""
    BACKEND = "BACKEND"
    """What nobody foresaw went wrong while it was answered."""
    OTHER = "OTHER"
    """It was wrong, or can't be answered."""

    @classmethod
    def of(cls, error: BaseException) -> "FailureReason":
        """The reason that an error is."""
        match error:
            case BusyError() | TimedOutError():
                return cls.REJECTED
            case MedxganError():
                return cls.OTHER
            case asyncio.CancelledError():
                return cls.CANCELED
            case _:
                return cls.BACKEND


@dataclass
class Duration:
    """How often something was done, and how long it took in all."""

    count: int = 0
    seconds: float = 0.0

    def add(self, seconds: float) -> None:
        """It was done once more."""
        self.count += 1
        self.seconds += seconds


def _none_of_any() -> dict[FailureReason, Duration]:
    return {reason: Duration() for reason in FailureReason}


@dataclass
class Counts:
    """What one version of a model has done.

    Attributes:
        last: when it last succeeded, as `time.time()` has it; 0: never.
        success: requests that were answered.
        failures: those that were not, by reason.
        queue: waiting of those that were answered, as the three that follow.
        compute_input: opening their images.
        compute_infer: computing what was asked for.
        compute_output: making the answers.
    """

    last: float = 0.0
    success: Duration = field(default_factory=Duration)
    failures: dict[FailureReason, Duration] = field(default_factory=_none_of_any)
    queue: Duration = field(default_factory=Duration)
    compute_input: Duration = field(default_factory=Duration)
    compute_infer: Duration = field(default_factory=Duration)
    compute_output: Duration = field(default_factory=Duration)

    def add(self, course: "Course", seconds: float) -> None:
        """Count a request that was answered."""
        parts = course.parts or course.stopwatch.milliseconds()
        compute = sum(parts[phase] for phase in _COMPUTE) / 1000
        self.last = time.time()
        self.success.add(seconds)
        self.queue.add(parts[Phase.QUEUED] / 1000)
        self.compute_input.add(parts[Phase.PREPROCESS] / 1000)
        self.compute_infer.add(max(0.0, compute - course.output_seconds))
        self.compute_output.add(course.output_seconds)


class Course:
    """The course that one request takes.

    Attributes:
        stopwatch: of its explanation.
        output_seconds: that its answer took to be made.
        parts: milliseconds of its phases until that was made; None until then, and where nothing tells of it.
        model: that it is counted for; None as long as it has named none that is served.
    """

    def __init__(self, model: Model | None = None) -> None:
        self.stopwatch = Stopwatch()
        self.output_seconds = 0.0
        self.parts: dict[Phase, float] | None = None
        self.model = model

    def made(self, output_seconds: float) -> None:
        """The answer is made, in these seconds: what is left is to note it, and to wait for who reads the progress."""
        self.output_seconds = output_seconds
        self.parts = self.stopwatch.milliseconds()


class Statistics:
    """Counts the requests of every model, and where their time went. Used from one event loop; read from any thread."""

    def __init__(self) -> None:
        self._counts: defaultdict[Model, Counts] = defaultdict(Counts)
        self._courses: dict[Course, None] = {}

    def know(self, model: Model) -> None:
        """A model is served, and has a count from now on."""
        self._counts.setdefault(model, Counts())

    @contextmanager
    def counted(self, model: Model | None = None) -> Iterator[Course]:
        """Count one request: as a success, or as a failure where it ends with an error or is cancelled.

        Args:
            model: that it asks; None where this is found out later. What never names a model is not counted.
        """
        began, course = time.perf_counter(), Course(model)
        self._courses[course] = None
        try:
            yield course
        except BaseException as error:
            if course.model is not None:
                counts = self._counts[course.model]
                counts.failures[FailureReason.of(error)].add(time.perf_counter() - began)
            raise
        else:
            if course.model is not None:
                self._counts[course.model].add(course, time.perf_counter() - began)
        finally:
            del self._courses[course]

    def of(self, model: Model) -> Counts:
        """What one model has done."""
        return self._counts.get(model, Counts())

    def all(self) -> list[tuple[Model, Counts]]:
        """What every model has done that has been known, or asked."""
        return sorted(self._counts.items(), key=lambda each: each[0])

    def pending(self) -> dict[Model, int]:
        """Requests of every model that wait for their compute to begin."""
        found: dict[Model, int] = {}
        for course in list(self._courses):
            if course.model is not None and course.stopwatch.is_waiting:
                found[course.model] = found.get(course.model, 0) + 1
        return found
