"""What a run is computed by: this process, or Ray. Both explain parts in the same way, `Job.explain`."""
