"""The files that follow from the settings' models, and what these say."""

import re

import h5py
import numpy as np
import pytest
import yaml
from jsonschema import Draft202012Validator

from neuroreg.files.records import describe_fields, write_record
from neuroreg.robustness.noise_counts import NoiseCounts
from neuroreg.settings import models_in
from neuroreg.workflow.config import Config, validate_config
from neuroreg.workflow.file_reference import RECORDS
from neuroreg.workflow.generate import generated_files


@pytest.fixture(scope="module")
def generated(root):
    return generated_files(root)


@pytest.mark.parametrize(
    "path",
    ["config.yaml", "schemas/config.schema.yaml", "docs/config.md", "docs/attacks.md", "docs/files.md"],
)
def test_a_file_is_as_generated(root, generated, path):
    assert (root / path).read_text(encoding="utf-8") == generated[path], "run make generate"


def test_the_default_config_is_the_models_defaults(config):
    assert validate_config(config) == Config()


def test_the_schema_takes_the_default_and_refuses_mistakes(generated, config):
    schema = yaml.safe_load(generated["schemas/config.schema.yaml"])
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    assert validator.is_valid(config)
    assert validator.is_valid({"training": {"epochs": 3}})  # an overlay
    for wrong in (
        {"trainig": {}},
        {"training": {"epochz": 3}},
        {"training": {"epochs": 0}},
        {"scans": [{"name": "mine", "source": "recorded"}]},
        {"adversarial": {"attacks": [{"name": "a", "method": "pgd", "settings": [{"stepz": 3}]}]}},
        {"adversarial": {"attacks": [{"name": "a", "method": "pgd", "settings": [{"steps": 0}]}]}},
    ):
        assert not validator.is_valid(wrong), wrong


def test_every_mapping_in_the_schema_refuses_unknown_keys(generated):
    def mappings(part):
        if isinstance(part, dict):
            if part.get("type") == "object" and "properties" in part:
                yield part
            for value in part.values():
                yield from mappings(value)

    found = list(mappings(yaml.safe_load(generated["schemas/config.schema.yaml"])))
    assert len(found) > 10
    for part in found:
        assert part["additionalProperties"] is False
        assert set(part.get("required", [])) <= set(part["properties"])


def test_every_kind_of_file_is_described(root, generated):
    page = generated["docs/files.md"]
    kinds = {
        kind
        for path in root.glob("src/**/*.py")
        for kind in re.findall(r'^    KIND = "(.+?)"', path.read_text(), re.MULTILINE)
    }
    assert kinds == {cls.KIND for cls in RECORDS.values()}
    for cls in RECORDS.values():
        for name, place, _, _ in describe_fields(cls):
            assert re.search(rf"^\| `{re.escape(place)}` \| .* \| .* \| \S+ .*\S \|$", page, re.MULTILINE), (
                name
            )


def test_a_record_is_written_as_described(tmp_path):
    """The table against a file: what h5py finds in it."""
    counts = NoiseCounts(np.array([0.0, 0.1]), np.ones((2, 5), np.uint8), 3)
    write_record(tmp_path / "counts.h5", counts)
    with h5py.File(tmp_path / "counts.h5") as file:
        found = {name: file[name].ndim for name in file}
    described = {place: shape.count(",") for _, place, _, shape in describe_fields(NoiseCounts)}
    assert found == {"sigma": 1, "correct": 2, "draws": 0}
    assert set(described) == set(found)


def test_every_key_is_described():
    def undescribed(model):
        for name, field in model.model_fields.items():
            if not field.description:
                yield f"{model.__name__}.{name}"
            for inner in models_in(field.annotation):
                yield from undescribed(inner)

    assert not list(undescribed(Config))
