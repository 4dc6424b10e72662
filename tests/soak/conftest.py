import os
import platform
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "soak.md"


def markdown(header, rows):
    """A table of Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


@pytest.fixture(scope="session")
def note():
    """Put a table in its place in docs/soak.md."""

    def put(name, header, rows):
        if not rows:
            return
        machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
        text = f"<!-- {name} -->\n{markdown(header, rows)}\n\nMeasured on {machine}.\n<!-- end -->"
        page = re.sub(rf"<!-- {name} -->.*?<!-- end -->", lambda _: text, PAGE.read_text(), flags=re.DOTALL)
        PAGE.write_text(page)

    return put
