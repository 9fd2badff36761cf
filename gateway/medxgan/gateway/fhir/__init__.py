"""Results in FHIR R5, as JSON for a hospital's integration engine."""
