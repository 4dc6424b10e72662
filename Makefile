PYTHON ?= python3
CORES ?= 8
VENV := .venv
READY := $(VENV)/.ready

.PHONY: all test soak lint generate lock clean

all: $(READY)
	$(VENV)/bin/snakemake --cores $(CORES)
	$(VENV)/bin/snakemake --quiet all --report results/report.zip
	@echo "All results on one page: results/index.html (and with Snakemake's provenance: results/report.zip)."

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"Error: {sys.executable} is Python {sys.version.split()[0]}; expected 3.11 or newer. Name another one: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --require-hashes --requirement requirements.lock
	$(VENV)/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

test: $(READY)
	$(VENV)/bin/python -m pytest

soak: $(READY)
	$(VENV)/bin/python -m pytest --soak -m soak --timeout=7200

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
