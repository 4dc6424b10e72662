"""The rules of the workflow as texts."""

import re


def rules(root):
    """Each rule's name and text; of an entry of the table of figures, the text of the rule made for it."""
    pattern = re.compile(r"^ *rule( \w+)?:\n((?:(?: {4,}(?!rule ).*)?\n)+)", re.MULTILINE)
    for path in sorted((root / "rules").glob("*.smk")):
        text = path.read_text()
        for name, body in pattern.findall(text):
            if name:
                yield name.strip(), body
                continue
            assert re.match(r" *name:\n *rule\n", body)
            body = body.replace("code(rule", 'code("{rule}"').replace('f"', '"')
            for entry in re.findall(r'^    "(\w+)": \{', text, re.MULTILINE):
                yield entry, body.replace("{rule}", entry)
