"""Numbers made of results: distances, noise curves, intervals, convergence of searches, ranks of settings."""
