"""Studies: the films of a folder, of a DICOMDIR, or of an archive that speaks DICOMweb."""
