"""The paper's claims, each judged against the results of a run of the workflow."""
