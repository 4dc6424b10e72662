"""The one page on which a run of the workflow shows its results."""
