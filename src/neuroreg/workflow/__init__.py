"""What the Snakefile needs: settings and their checks, the grid of runs, code digests, the frame of a job."""
