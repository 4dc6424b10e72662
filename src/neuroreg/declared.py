"""Tables that the modules of a folder declare: what a module adds is found there, and named nowhere else."""

import ast
import re
from pathlib import Path
from typing import Any

from neuroreg.errors import InputError


def declared(folder: Path, name: str) -> dict[str, dict[str, Any]]:
    """Return the table called `name` of each module of a folder that has one, without importing any.

    No module's code is listed by another, so that a new one changes no digest of what others do.

    Parameters
    ----------
    folder
        Where the modules are; folders in it are not looked into.
    name
        Of a literal dictionary at a module's top level, with text as keys.

    Returns
    -------
    dict
        By the modules' names, in alphabetical order.

    Raises
    ------
    InputError
        If a table is no such literal, its module is no Python, or two modules have an entry of one name.
    """
    tables: dict[str, dict[str, Any]] = {}
    of: dict[str, str] = {}
    assigned = re.compile(rf"^{name} *[:=]", re.MULTILINE)
    for path in sorted(folder.glob("*.py")):
        text = path.read_text(encoding="utf-8")
        if not assigned.search(text):
            continue
        table = tables[path.stem] = _literal(path, text, name)
        for key in table:
            if key in of:
                raise InputError(f"{path}: {name} has '{key}'; expected another name, {of[key]} has it.")
            of[key] = path.name
    return tables


def _literal(path: Path, text: str, name: str) -> dict[str, Any]:
    try:
        for node in ast.parse(text, str(path)).body:
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            if [target.id for target in targets if isinstance(target, ast.Name)] == [name]:
                table = ast.literal_eval(node.value)  # type: ignore[attr-defined]
                if isinstance(table, dict) and all(isinstance(key, str) for key in table):
                    return table
    except (SyntaxError, ValueError, TypeError):
        pass
    raise InputError(f"{path}: {name} is no literal dictionary; expected one, with text as keys.")
