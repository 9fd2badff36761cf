"""What a run is computed by: this process, several, or Ray. All explain parts in the same way, `Job.explain`."""
