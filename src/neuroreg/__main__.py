"""What can be done outside Snakemake: ``python -m neuroreg`` lists it."""

import argparse
import sys

from neuroreg.errors import InputError

_TELL = """\
What neuroreg does without Snakemake:

  python -m neuroreg describe FILE...
      what a file is and holds: a scan in any format that is read, a similarity, a model, another result
  python -m neuroreg recheck ATTACK_FILE MODEL_FILE [--data CLASSIFICATION_FILE]
      check every distance of an attack's file against its model

The workflow itself: make, or snakemake --cores 8. From Python: neuroreg.scans, neuroreg.similarity,
neuroreg.training and the other packages; docs/python.md has examples.
"""


def main(arguments: list[str]) -> int:
    """Do what the first argument names; return the exit code."""
    if arguments[:1] == ["recheck"]:
        from neuroreg.robustness.recheck import main as recheck  # loads torch

        return recheck(arguments[1:], "neuroreg recheck")
    if arguments[:1] == ["describe"]:
        return _describe(arguments[1:])
    if arguments and arguments[0] not in ("-h", "--help", "help"):
        print(f"neuroreg: no command '{arguments[0]}'; expected describe or recheck.", file=sys.stderr)
        return 2
    print(_TELL, end="")
    return 0


def _describe(arguments: list[str]) -> int:
    from neuroreg.workflow.describe import describe_file

    parser = argparse.ArgumentParser(
        prog="python -m neuroreg describe", description="Say what files are and hold."
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="a scan, a similarity, a model, a result")
    for path in parser.parse_args(arguments).files:
        try:
            print("\n".join(describe_file(path)))
        except (InputError, OSError) as error:
            print(f"describe: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
