"""From a modality, an archive or a folder into the journal."""
