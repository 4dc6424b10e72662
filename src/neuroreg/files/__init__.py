"""Files between stages: reading, atomic writing, what kind a file is, and the state of unfinished runs."""
