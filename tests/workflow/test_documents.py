"""What the documents say of the code."""

import pkgutil
import re
from functools import cache

import yaml

import neuroreg
from neuroreg.robustness.attacks.registry import ATTACK_METHODS


def test_the_table_of_attack_settings_is_complete(root):
    text = (root / "docs" / "attacks.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| \w+ \| `(\w+)` \| (\S+) \|", text, re.MULTILINE)
    known = {
        (name, setting, f"{spec.default:.6g}")
        for name, method in ATTACK_METHODS.items()
        for setting, spec in method.settings.items()
    }
    assert set(rows) == known


def test_one_version_everywhere(root):
    changes = re.findall(r"^## (\d\S+)$", (root / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert changes[0] == yaml.safe_load((root / "CITATION.cff").read_text())["version"]
    assert changes[0] == neuroreg.__version__


def test_every_file_that_the_readme_links_to_is_there(root):
    links = re.findall(r"\]\(([^)#:]+)\)", (root / "README.md").read_text())
    assert links
    assert all((root / link).exists() for link in links)


def test_every_name_of_the_code_in_a_text_resolves(root):
    texts = [
        root / "README.md",
        root / "CONTRIBUTING.md",
        *root.glob("docs/**/*.md"),
        *root.glob("report/*.rst"),
    ]
    unknown = {
        f"{path.relative_to(root)}: {name}"
        for path in [*texts, *root.glob("src/**/*.py")]
        for name in re.findall(r"`[^`\n]*?\b(neuroreg(?:\.\w+)+)", path.read_text())
        if not resolves(name)
    }
    assert unknown == set()


@cache
def resolves(name):
    """Whether a dotted name is a module, or what stands in the module that it names."""
    try:
        found = pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return name.startswith(getattr(found, "__module__", ""))
