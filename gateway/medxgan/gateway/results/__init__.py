"""From an explanation to DICOM objects that a picture archive keeps beside the film."""
