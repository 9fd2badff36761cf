"""What can keep an evaluation from being made; every message says what to do.

EvaluationError
├── SubjectError     neither a run nor a bundle, or its images are not known
├── MethodError      no such method, or one that the bundle can't serve
├── ImagesError      the chosen split has no image to explain
├── RecordsError     the report's folder holds records of another evaluation
├── NotFiniteError   a graph of the bundle gave a map that is not made of finite numbers
└── SanityError      the classifier's weights can't be randomised in every graph
"""


class EvaluationError(Exception):
    """Base of all errors of this room."""


class SubjectError(EvaluationError):
    """What is to be evaluated can't be opened, or nothing says which images it is to be evaluated on."""


class MethodError(EvaluationError):
    """A method is unknown, or the bundle can't serve it."""


class ImagesError(EvaluationError):
    """The chosen split is not there, or holds no image that can be explained."""


class RecordsError(EvaluationError):
    """The records in the report's folder were made with other settings, or are no records."""


class NotFiniteError(EvaluationError):
    """A map holds values that are no finite numbers, of which nothing can be measured."""


class SanityError(EvaluationError):
    """The bundle with randomised weights would not be one classifier in all its graphs."""
