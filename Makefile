PYTHON ?= python3
CORES ?= 8
VENV := .venv
READY := $(VENV)/.ready

.PHONY: all test slurm lint generate lock clean

all: $(READY)
	$(VENV)/bin/snakemake --cores $(CORES)
	$(VENV)/bin/snakemake --report results/report.zip
	@echo "Done: figures, tables and report.zip are in results/."

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"Error: {sys.executable} is Python {sys.version.split()[0]}; expected 3.11 or newer. Name another one: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --require-hashes --requirement requirements.lock
	$(VENV)/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

test: $(READY)
	$(VENV)/bin/python -m pytest

# The SLURM profile on a real Slurm, which only root can start and Debian's packages bring; elsewhere it says so.
slurm: $(READY)
	$(VENV)/bin/python tests/cluster/check_slurm.py

lint: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/snakefmt --check --line-length 110 Snakefile rules
	$(VENV)/bin/snakemake --lint

generate: $(READY)
	$(VENV)/bin/python -m neuroreg.workflow.generate

lock:
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-emit-find-links --no-header --no-annotate --extra test --extra slurm \
	  --constraint constraints.txt pyproject.toml --output-file requirements.lock

clean:
	rm -rf $(VENV) .snakemake
