# Each target works on its own in a fresh checkout; all that is needed is make and Python 3.11+.
#   make install   .venv with everything
#   make test      style, types, import rules, tests and notebooks
#   make notebooks run the notebooks on a few simulated images
#   make demo      the whole road once [DATA=a folder of data]

PYTHON ?= $(firstword $(foreach name,python3 python3.14 python3.13 python3.12 python3.11 python,\
	$(if $(shell $(name) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo yes),$(name))))
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: install test lint notebooks demo format
.DEFAULT_GOAL := test

install: $(STAMP)

# Only a change of pyproject.toml installs again.
$(STAMP): pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed, and none was found" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade uv || true
	VIRTUAL_ENV= $(BIN)/uv pip install --python $(BIN)/python -e '.[train,cellpose,kaggle,dev]' \
		|| $(BIN)/python -m pip install -e '.[train,cellpose,kaggle,dev]'
	touch $(STAMP)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(BIN)/python -m pytest --durations=15
	$(MAKE) notebooks

# Executed copies are thrown away: what a notebook shows is made by who reads it.
notebooks: $(STAMP)
	work=$$(mktemp -d) && trap 'rm -rf "$$work"' EXIT && \
	for name in detectron/train detectron/inference Cellpose; do \
		BIGKINGXXL_WORK="$$work" BIGKINGXXL_DATA= $(BIN)/jupyter execute --timeout 600 \
			$$name.ipynb --output "$$work/$$(basename $$name).ipynb" || exit 1; \
	done

demo: $(STAMP)
	$(BIN)/bigkingxxl demo $(if $(DATA),--data "$(DATA)")

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
