"""What the documents say of the code."""

import doctest
import importlib
import pkgutil
import re
from functools import cache

import yaml
from jsonschema import Draft202012Validator

import neuroreg
from neuroreg.robustness.attacks.registry import ATTACK_METHODS
from neuroreg.settings import models_in
from neuroreg.workflow.config import Config


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


def test_the_conda_environment_has_the_versions_of_the_lock(root):
    locked = set(re.findall(r"^(\S+==\S+)", (root / "requirements.lock").read_text(), re.MULTILINE))
    *_, packages = yaml.safe_load((root / "envs" / "neuroreg.yaml").read_text())["dependencies"]
    assert set(packages["pip"]) - locked == set()


def pages(root):
    # index.md is a copy of the README, for the site.
    return [*root.glob("*.md"), *(page for page in root.glob("docs/**/*.md") if page.name != "index.md")]


def prose(page):
    """A page's text without blocks of code."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def anchors(page):
    """Where links into a page can point: its headings, as GitHub and the site both name them.

    Of what is left out between blanks, such as "&", the site makes one hyphen, GitHub two.
    """
    found = []
    for heading in re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE):
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        found.append(f"{anchor}-{found.count(anchor)}" if anchor in found else anchor)
    return [anchor for anchor in found if "--" not in anchor]


def test_the_site_shows_every_page(root):
    shown = re.findall(r": (\S+\.md)$", (root / "mkdocs.yml").read_text(), re.MULTILINE)
    docs = root / "docs"
    assert sorted(shown) == sorted(
        {"index.md", *(str(page.relative_to(docs)) for page in docs.glob("**/*.md"))}
    )


def test_every_link_leads_somewhere(root):
    broken, found = [], 0
    for page in pages(root):
        for link in re.findall(r"\]\(\s*([^)\s]+)\s*\)", prose(page)):
            if re.match(r"(https?|mailto):", link):
                continue
            found += 1
            name, _, anchor = link.partition("#")
            target = (page.parent / name).resolve() if name else page
            there = target.exists() and target.is_relative_to(root)
            if not there or (anchor and anchor not in anchors(target)):
                broken.append(f"{page.relative_to(root)}: {link}")
    assert found > 50
    assert broken == []


def test_every_page_can_be_reached_from_the_readme(root):
    reached, pending = set(), [root / "README.md"]
    while pending:
        page = pending.pop()
        if page not in reached and page.exists():
            reached.add(page)
            links = re.findall(r"\]\(\s*([^)\s#]+\.md)", prose(page))
            pending += [(page.parent / link).resolve() for link in links if ":" not in link]
    assert {page.resolve() for page in pages(root)} - reached <= {
        root / name for name in ("CHANGELOG.md", "CONTRIBUTING.md")
    }


def test_every_file_that_a_page_names_is_there(root):
    """Of the project's own folders; results and what users make are not among them."""
    folders = "configs|docs|src|tests|benchmarks|profiles|schemas|rules|workflow_scripts|report|envs"
    missing = [
        f"{page.relative_to(root)}: {name}"
        for page in pages(root)
        if page.name != "CHANGELOG.md"
        for name in re.findall(rf"`((?:{folders})/[\w./-]+\.\w+)`(?!:\n)", prose(page))
        if not (root / name).exists()
    ]
    assert missing == []


def test_every_key_that_a_page_names_is_the_configs(root):
    sections = {
        name: set(models[0].model_fields)
        for name, field in Config.model_fields.items()
        if len(models := models_in(field.annotation)) == 1 and "list" not in str(field.annotation)
    }
    unknown = [
        f"{page.relative_to(root)}: {section}.{key}"
        for page in pages(root)
        if page.name != "CHANGELOG.md"
        for section, key in re.findall(r"`(\w+)\.(\w+)(?::[^`]*)?`", prose(page))
        if section in sections and key not in sections[section] | {"py", "csv", "pdf", "h5"}
    ]
    assert len(sections) > 8
    assert unknown == []


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
    # Where it is made, or in the front, from which users import.
    own = name.startswith(getattr(found, "__module__", ""))
    return own or name.removeprefix("neuroreg.") in neuroreg.__all__


def overlays(page):
    """The configs, or parts of one, that a page shows: blocks of YAML, and in a line sections as mappings."""
    text = page.read_text()
    yield from re.findall(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    for code in re.findall(r"`([^`\n]+)`", prose(page)):
        if re.match(rf"({'|'.join(Config.model_fields)}): [\[{{]", code) and "..." not in code:
            yield "{" + code + "}"


def test_configs_on_pages_are_such_as_the_schema_takes(root):
    validator = Draft202012Validator(yaml.safe_load((root / "schemas/config.schema.yaml").read_text()))
    wrong, found = [], 0
    for page in pages(root):
        if page.name == "CHANGELOG.md" or page.parent.name == "examples":  # of old versions; run elsewhere
            continue
        for text in overlays(page):
            found += 1
            content = yaml.safe_load(text)
            if isinstance(content, dict):
                wrong += [
                    f"{page.relative_to(root)}: {text[:60]}: {error.message[:200]}"
                    for error in validator.iter_errors(content)
                ]
    assert found > 10
    assert wrong == []


def test_examples_in_docstrings_hold(root):
    attempted = 0
    for path in root.glob("src/**/*.py"):
        if ">>>" in path.read_text():
            name = ".".join(path.relative_to(root / "src").with_suffix("").parts)
            failed, tried = doctest.testmod(importlib.import_module(name))
            assert (failed, tried > 0) == (0, True), name
            attempted += tried
    assert attempted > 0
