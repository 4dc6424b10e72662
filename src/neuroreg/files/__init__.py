"""Files between stages: reading, atomic writing, what kind a file is, and the state of unfinished runs."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "records": ["read_record", "write_record"],
        "storage": ["read_csv", "read_json"],
    },
)
