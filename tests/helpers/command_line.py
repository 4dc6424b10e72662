"""Snakemake as a user calls it."""

import os
import subprocess
import sys


def snakemake(root, folder, *arguments, configs=(), **environment):
    """What a run of the workflow in `folder` ended with, on one core."""
    command = [sys.executable, "-m", "snakemake", *arguments, "--snakefile", root / "Snakefile"]
    command += ["--directory", folder, "--cores", "1"]
    if configs:
        command += ["--configfile", *configs]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True)
