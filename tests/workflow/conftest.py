import copy
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def root():
    return ROOT


@pytest.fixture(scope="session")
def default():
    return yaml.safe_load((ROOT / "config.yaml").read_text())


@pytest.fixture
def config(default):
    return copy.deepcopy(default)
