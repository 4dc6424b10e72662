"""How many rows a search on the CPU attacks at once where the config leaves that open; free of torch."""

# More are no faster there.
ROWS_ON_CPU = 64
