"""The DICOM gateway: films in from an archive, explanations of them back."""
