"""DICOM objects to grey films, in the order of the work: file, header, frame, stored values, grey levels."""
