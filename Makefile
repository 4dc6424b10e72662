PYTHON ?= python3
CORES ?= 8
VENV := .venv
READY := $(VENV)/.ready

.PHONY: all test test-workflow test-library soak slurm lint site generate lock audit clean

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

# Two at a time, which two cores do in little more than half the time of one after the other.
WORKFLOW_TESTS := tests/workflow tests/soak tests/page tests/files tests/figures tests/claims
PYTEST := OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest --durations=25

test: $(READY)
	$(MAKE) --jobs=2 test-workflow test-library

test-workflow: $(READY)
	$(PYTEST) $(WORKFLOW_TESTS)

test-library: $(READY)
	$(PYTEST) $(addprefix --ignore=,$(WORKFLOW_TESTS)) tests

soak: $(READY)
	$(VENV)/bin/python -m pytest --soak -m soak --timeout=7200

# The SLURM profile on a real Slurm, which only root can start and Debian's packages bring; elsewhere it says so.
slurm: $(READY)
	$(VENV)/bin/python tests/cluster/check_slurm.py

lint: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/snakefmt --check --line-length 110 Snakefile rules
	$(VENV)/bin/snakemake --lint

generate: $(READY)
	$(VENV)/bin/python -m neuroreg.workflow.generate

# The documentation as a site; a link that leads nowhere ends it.
site: $(READY)
	$(VENV)/bin/python -m pip install --quiet --require-hashes --requirement docs/requirements.lock
	$(VENV)/bin/python docs/home.py > docs/index.md
	$(VENV)/bin/zensical build --strict --config-file mkdocs.yml
	@echo "The documentation as a site: site/index.html."

lock:
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-emit-find-links --no-header --no-annotate --extra test --extra slurm --extra cluster-generic --extra onnx \
	  --constraint constraints.txt pyproject.toml --output-file requirements.lock
	echo zensical | uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-emit-find-links --no-header --no-annotate --constraint requirements.lock - --output-file docs/requirements.lock

# The locked packages against PyPI's list of known vulnerabilities; a package that could not be looked up ends it, too.
audit:
	uv tool run pip-audit --strict --disable-pip --require-hashes --requirement requirements.lock

clean:
	rm -rf $(VENV) .snakemake
