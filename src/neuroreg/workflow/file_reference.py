"""The tables of docs/files.md: what each HDF5 file holds, as its record's class says."""

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields

from neuroreg.files.records import describe_fields
from neuroreg.files.storage import SCHEMA_VERSION
from neuroreg.images.classification import ClassificationData
from neuroreg.images.stimuli import Stimuli
from neuroreg.robustness.attack_result import AttackResult
from neuroreg.robustness.noise_counts import NoiseCounts
from neuroreg.scans.scan import Scan
from neuroreg.similarity.denoised import PredictedResponses
from neuroreg.similarity.matrix import SimilarityMatrix
from neuroreg.simulator.truth import SimulatedTruth

RECORDS = {
    "results/classification.h5": ClassificationData,
    "results/stimuli.h5": Stimuli,
    "results/scans/<scan>.h5": Scan,
    "results/responses/<scan>.h5": PredictedResponses,
    "results/similarity/<target>.h5": SimilarityMatrix,
    "results/noise/<model>/seed<seed>.h5": NoiseCounts,
    "results/attacks/<model>/seed<seed>/<attack>.h5": AttackResult,
    "results/simulated_truth/<scan>.h5": SimulatedTruth,
}
# What a docstring says of names, type and shape, which have columns of their own.
_KNOWN = re.compile(
    r"^(?:Norm(?: \([\w, ]*\))? to )?"
    r"(?:(?:(?:str|bool|u?int\d*|float\d*)|Any integers) \([^)]*\)[,:;.]?(?:\s+|$))?"
)


def file_tables() -> str:
    """Return a heading and a table of the datasets for each kind of file, as Markdown."""
    blocks = []
    for path, cls in RECORDS.items():
        meanings = _documented(cls)
        rows = [
            f"| `{place}` | {dtype} | {shape} | {meanings[name]} |"
            for name, place, dtype, shape in describe_fields(cls)
        ]
        blocks.append(
            f"### `{path}`\n\n{_summary(cls)} Kind `{cls.KIND}`, class `{cls.__module__}.{cls.__name__}`.\n\n"
            "| dataset | type | shape | meaning |\n| --- | --- | --- | --- |\n" + "\n".join(rows)
        )
    return f"Version {SCHEMA_VERSION} of the layout.\n\n" + "\n\n".join(blocks) + "\n"


def _summary(cls: type) -> str:
    return " ".join(inspect.getdoc(cls).split("\n\n", 1)[0].split())


def _documented(cls: type) -> Mapping[str, str]:
    """Return what the class's docstring says of each field, without type and shape."""
    found = dict(_entries(inspect.getdoc(cls)))
    return {field.name: found[field.name] for field in fields(cls) if "dataset" in field.metadata}


def _entries(docstring: str) -> Iterator[tuple[str, str]]:
    """Yield the entries of a numpydoc section of attributes or parameters, names that share one apart."""
    section = re.search(
        r"^(?:Attributes|Parameters)\n-+\n(.*?)(?=^\w[^\n]*\n-+\n|\Z)", docstring, re.MULTILINE | re.DOTALL
    )
    for match in re.finditer(r"^(\w[\w, ]*)\n((?:[ \t]+.*\n?|\n)+)", section[1], re.MULTILINE):
        meaning = " ".join(match[2].split()).replace("|", "\\|").replace("``", "`")
        words = _KNOWN.sub("", meaning)
        for name in match[1].split(","):
            yield name.strip(), words[:1].upper() + words[1:]
