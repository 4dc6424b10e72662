"""A digest of the code that a job runs, blind to comments, docstrings and layout.

Snakemake neither sees edits of imported modules nor knows a comment from a statement. A rule that carries
this digest among its params is rerun exactly when a statement that it can reach has changed.
"""

import ast
from functools import cache
from hashlib import sha256
from pathlib import Path

PACKAGE = "neuroreg"
SOURCE = Path(__file__).resolve().parents[1]


def code_digest(script: str | Path, *loaded: str) -> str:
    """Return a digest of a script and of every module of this package that it imports, however deep.

    Parameters
    ----------
    script
        A Python file.
    *loaded
        Modules of this package that the script loads by name, which no import statement shows.

    Returns
    -------
    str
        16 hexadecimal digits.
    """
    reached: dict[str, str] = {}
    pending = [*_imports(Path(script)), *loaded]
    while pending:
        module = pending.pop()
        if module not in reached:
            path = _module_path(module)
            reached[module] = _statements(path)
            pending.extend(_imports(path))
    parts = [_statements(Path(script)), *(f"{name}:{reached[name]}" for name in sorted(reached))]
    return sha256("\n".join(parts).encode()).hexdigest()[:16]


@cache
def _statements(path: Path) -> str:
    """Return the digest of a file's syntax tree without docstrings, those of settings' fields included."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            body[:] = [statement for statement in body if not _is_docstring(statement)]
    return sha256(ast.dump(tree).encode()).hexdigest()


def _is_docstring(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


@cache
def _imports(path: Path) -> frozenset[str]:
    """Return the modules of this package that a file imports, at any level of nesting."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        # The package's own __init__ holds but the version, and a new version alone makes no new result.
        found.update(name for name in names if name.startswith(f"{PACKAGE}.") and _module_path(name))
    return frozenset(found)


@cache
def _module_path(module: str) -> Path | None:
    """Return the file of a module of this package, None if the name is not a module."""
    base = SOURCE.joinpath(*module.split(".")[1:])
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None
