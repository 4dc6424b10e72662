"""A digest of the code that a job runs, blind to comments, docstrings and layout.

Snakemake neither sees edits of imported modules nor knows a comment from a statement. A rule that carries
this digest among its params is rerun exactly when a statement that it can reach has changed.
"""

import ast
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path

PACKAGE = "neuroreg"
SOURCE = Path(__file__).resolve().parents[1]


def code_digest(script: str | Path, *loaded: str, by_name: Mapping[str, str] | None = None) -> str:
    """Return a digest of a script and of every module of this package that it imports, however deep.

    Parameters
    ----------
    script
        A Python file.
    *loaded
        Modules of this package that the script loads by name, which no import statement shows.
    by_name
        What modules that many scripts reach load in this way: module by module that loads it.

    Returns
    -------
    str
        16 hexadecimal digits.
    """
    statements, imported = _read(Path(script))
    pending, reached, by_name = [*imported, *loaded], {}, by_name or {}
    while pending:
        module = pending.pop()
        if module not in reached:
            reached[module], imported = _read(_module_path(module))
            pending.extend([*imported, *filter(None, [by_name.get(module)])])
    parts = [statements, *(f"{name}:{reached[name]}" for name in sorted(reached))]
    return sha256("\n".join(parts).encode()).hexdigest()[:16]


@cache
def _read(path: Path) -> tuple[str, frozenset[str]]:
    """Return the digest of a file's syntax tree without docstrings, and the modules of this package in it.

    Docstrings of attributes are left out too, as settings have them; imports count at any level of nesting.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    names = set()
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            body[:] = [statement for statement in body if not _is_docstring(statement)]
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update([node.module, *(f"{node.module}.{alias.name}" for alias in node.names)])
    # The package's own __init__ holds but the version, and a new version alone makes no new result.
    imported = (name for name in names if name.startswith(f"{PACKAGE}.") and _module_path(name))
    return sha256(ast.dump(tree).encode()).hexdigest(), frozenset(imported)


def _is_docstring(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


@cache
def _module_path(module: str) -> Path | None:
    """Return the file of a module of this package, None if the name is not a module."""
    base = SOURCE.joinpath(*module.split(".")[1:])
    return next((p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file()), None)
