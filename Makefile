# Each target works on its own in a fresh checkout; all that is needed is make and Python 3.11+.
#   make install   .venv with everything
#   make check     style and the quick tests, under a minute
#   make test      style, types, import rules, tests and notebooks
#   make coverage  the quick tests, and the lines that they do not reach [TESTS=paths]
#   make docs      the documentation as a site, in site/
#   make fuzz      the property tests, searching freely for an hour or so [SEED=number]
#   make page      build the page of `bigkingxxl view` from its sources (needs Node.js 20 or newer)
#   make page-long tests of the page that take minutes (needs Chromium)
#   make notebooks run the notebooks on a few simulated images
#   make cellpose  what needs cellpose 3.1: comparisons with it, its training, its notebook
#   make cluster   runs on a SLURM of one node, on Dask, and trainings on two devices (needs root,
#                  slurm-wlm and munge for SLURM, groovy for Nextflow's workflow; starts all of it,
#                  and stops it again)
#   make benchmarks  speed beside other programs' [NAME=one of `python -m benchmarks`]
#   make demo      the whole road once [DATA=a folder of data]

PYTHON ?= $(firstword $(foreach name,python3 python3.14 python3.13 python3.12 python3.11 python,\
	$(if $(shell $(name) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo yes),$(name))))
BIN := .venv/bin
STAMP := .venv/.installed
# cellpose 3.1 holds numpy below 2.1, whose types are others: it has an environment of its own.
CELLPOSE := .venv-cellpose

# No networks and no training: what these leave out, `make test` runs.
QUICK := tests/io/annotations tests/io/tables tests/test_file_names.py tests/runs/test_outputs.py \
	tests/evaluation/metrics tests/evaluation/test_competition_map.py \
	tests/evaluation/test_crossfit.py tests/decoding/test_holes.py tests/inference/test_thread_pool.py \
	tests/training/test_recipe_schema.py tests/cli/test_recipes.py tests/cli/test_progress.py \
	tests/docs/test_commands.py \
	$(addprefix tests/test_,$(addsuffix .py,candidates files geometry images instances manifest \
		memory model_bytes operating_points overlaps papers provenance rle settings shipped_models display_text \
		cell_widths))

.PHONY: benchmarks install check test coverage docs page page-long fuzz lint notebooks cellpose cluster demo format
.DEFAULT_GOAL := test

install: $(STAMP)

# Only a change of pyproject.toml installs again.
$(STAMP): pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed, and none was found" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade uv || true
	VIRTUAL_ENV= $(BIN)/uv pip install --python $(BIN)/python -e '.[train,kaggle,dev]' \
		|| $(BIN)/python -m pip install -e '.[train,kaggle,dev]'
	touch $(STAMP)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff check --preview --select PLW1514 .  # files that depend on the system's encoding
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff check --preview --select PLW1514 .  # files that depend on the system's encoding
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not slow" $(QUICK)

coverage: $(STAMP)
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not slow" --cov --cov-report=term-missing \
		$(or $(TESTS),$(QUICK))

# Offline: nothing is fetched, and a warning is an error.
docs: .venv/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet --site-dir site

.venv/.docs: pyproject.toml $(STAMP)
	VIRTUAL_ENV= $(BIN)/uv pip install --python $(BIN)/python -e '.[docs]' \
		|| $(BIN)/python -m pip install -e '.[docs]'
	touch $@

# The notebooks and what needs cellpose keep one core each busy: side by side they take half as long.
test: lint
	$(BIN)/python -m pytest -n auto --dist loadfile --durations=15
	$(MAKE) -j 2 notebooks cellpose

# What it finds is written into the test as an @example: then `make test` tries it every time.
fuzz: $(STAMP)
	BIGKINGXXL_EXAMPLES=fuzz $(BIN)/python -m pytest -m hypothesis $(if $(SEED),--hypothesis-seed=$(SEED))

PAGE := bigkingxxl/viewer/page

# What is built is committed: nobody who only uses it needs Node.js.
page: $(STAMP)
	$(BIN)/python -m bigkingxxl.viewer.page.generate_types
	cd $(PAGE) && npm ci --no-audit --no-fund && npm run check && npm test && npm run build

# Random walks of thousands of edits, large images, thousands of cells, in a real Chromium.
page-long: $(STAMP)
	$(BIN)/python -m pytest -m long tests/viewer/page

# Executed copies are thrown away: what a notebook shows is made by who reads it.
notebooks: $(STAMP)
	work=$$(mktemp -d) && trap 'rm -rf "$$work"' EXIT && \
	for name in train inference; do \
		BIGKINGXXL_WORK="$$work" BIGKINGXXL_DATA= $(BIN)/jupyter execute --timeout 600 \
			detectron/$$name.ipynb --output "$$work/$$name.ipynb" || exit 1; \
	done

# The tests that open the library; what only reads or writes its files runs in `make test` anyway.
cellpose: $(CELLPOSE)/.installed
	$(CELLPOSE)/bin/python -m pytest $$(grep -rlE '(from|import) cellpose|cellpose[a-z0-9. ]* is not installed' \
		tests --include='test_*.py')
	work=$$(mktemp -d) && trap 'rm -rf "$$work"' EXIT && \
	BIGKINGXXL_WORK="$$work" BIGKINGXXL_DATA= $(CELLPOSE)/bin/jupyter execute --timeout 600 \
		Cellpose.ipynb --output "$$work/Cellpose.ipynb"

$(CELLPOSE)/.installed: pyproject.toml $(STAMP)
	test -x $(CELLPOSE)/bin/python || $(PYTHON) -m venv $(CELLPOSE)
	VIRTUAL_ENV= $(BIN)/uv pip install --python $(CELLPOSE)/bin/python -e '.[cellpose,dev]' \
		|| $(CELLPOSE)/bin/python -m pip install -e '.[cellpose,dev]'
	touch $@

# Snakemake has an environment of its own: it brings a great deal. Nextflow is in no package
# registry: its workflow runs in a stand-in where groovy is installed.
CLUSTER := .venv-cluster
cluster: $(STAMP)
	test -x $(CLUSTER)/bin/snakemake || { $(PYTHON) -m venv $(CLUSTER) && \
		$(CLUSTER)/bin/python -m pip install --quiet snakemake; } || true
	PATH="$$PATH:$(CURDIR)/$(CLUSTER)/bin" $(BIN)/python -m pytest -m cluster --durations=10

# Those that need neither a model nor minutes.
benchmarks: $(STAMP)
	for name in $(or $(NAME),codec_speed metric_speed tune_speed predict_memory); do \
		$(BIN)/python -m benchmarks run $$name || exit 1; \
	done

demo: $(STAMP)
	$(BIN)/bigkingxxl demo $(if $(DATA),--data "$(DATA)")

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
