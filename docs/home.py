"""Prints the README as the home page of the documentation's site: `make site` writes it to docs/index.md."""

import re
from pathlib import Path

text = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8").replace("](docs/", "](")
# Of links to what is no page of the site, the text stays.
print(re.sub(r"(?<!!)\[([^\]]+)\]\((?!https?:|#|[a-z_]+(/[a-z_]+)*\.md)[^)]*\)", r"\1", text), end="")
