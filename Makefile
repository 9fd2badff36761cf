# Every developer verb, once; `.ci/run` calls them.
PYTHON ?= python3
BIN := .venv/bin
DEMO_FILM = $$($(BIN)/python -c "from importlib.resources import files; print(files('data_store') / 'data' / 'RG1_UNCR.dcm')")

.PHONY: demo test check format protos bench clean

demo: .venv/.serving  ## explain a real chest film with the shipped bundle
	$(BIN)/medxgan explain "$(DEMO_FILM)" --model chest --out out

test: .venv/.development  ## all tests; small networks run fastest on one thread
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest

check: .venv/.development  ## lint, types, walls, protos
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python protos/generate.py --check
	$(BIN)/python protos/generate.py --image --into .venv
	$(BIN)/buf lint .venv/image.binpb --config protos/buf.yaml

format: .venv/.development  ## mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

protos: .venv/.development  ## regenerate the protobuf modules
	$(BIN)/python protos/generate.py

bench: .venv/.development  ## every measured claim
	$(BIN)/python benchmarks/inversion_step.py
	$(BIN)/python benchmarks/attribution.py

clean:
	rm -rf .venv out

.venv/bin/python:
	$(PYTHON) -c "import sys; assert sys.version_info >= (3, 11), 'medxgan needs Python 3.11 or newer'"
	$(PYTHON) -m venv .venv

.venv/.serving: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[server,dicom]" pydicom-data==1.0.0
	touch $@

.venv/.development: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	touch $@ .venv/.serving
