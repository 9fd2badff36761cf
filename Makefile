# Every developer verb, once; `.ci/run` calls them.
PYTHON ?= python3
BIN := .venv/bin
# Small networks run fastest on one thread each. Files of tests are shared out whole: their tests share what is set up.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
DEMO_FILM = $$($(BIN)/python -c "from importlib.resources import files; print(files('data_store') / 'data' / 'RG1_UNCR.dcm')")
LOCKS := server/deployment/requirements
EXPORT := $(BIN)/uv export --quiet --frozen --no-emit-project --no-header

.PHONY: demo web-demo gateway-demo test test-fast check format protos release-contract models-wheel lock sbom abuse chaos bench clean

demo: .venv/.serving  ## explain a real chest film with the shipped bundle
	$(BIN)/medxgan explain "$(DEMO_FILM)" --model chest --out out

web-demo: .venv/.serving  ## look at that film in the reading room, in a browser
	$(BIN)/medxgan web --sample "$(DEMO_FILM)" --open

gateway-demo: .venv/.gateway  ## a film through an archive, a gateway and a server, to look at
	$(BIN)/python gateway/demo.py

test: .venv/.development  ## all tests
	$(PYTEST)

test-fast: .venv/.development  ## the tests that need no export and no training
	$(PYTEST) -m "not slow"

check: .venv/.development  ## lint, types, walls, protos
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python protos/generate.py --check
	$(BIN)/python protos/generate.py --image --into .venv
	$(BIN)/buf lint .venv/image.binpb --config protos/buf.yaml
	$(BIN)/buf breaking .venv/image.binpb --against protos/released/v1.binpb --config protos/buf.yaml

format: .venv/.development  ## correct the formatting, and what the linter can correct
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

protos: .venv/.development  ## regenerate the protobuf modules
	$(BIN)/python protos/generate.py

release-contract: .venv/.development  ## what `check` compares the contract with from now on
	$(BIN)/python protos/generate.py --image --into .venv
	$(BIN)/buf build .venv/image.binpb --exclude-source-info --output protos/released/v1.binpb

models-wheel: .venv/bin/python  ## the shipped bundles as a wheel of their own, into dist/
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist ./models

lock: .venv/.development  ## choose the releases of all dependencies anew: uv.lock, and what the images install
	$(BIN)/uv lock --upgrade
	$(EXPORT) --extra server --extra dicom --output-file $(LOCKS)/server.txt
	$(EXPORT) --extra server-gpu --extra dicom --output-file $(LOCKS)/server-gpu.txt
	$(EXPORT) --only-group build --output-file $(LOCKS)/build.txt

sbom: .venv/.development  ## what the images hold beside their base, in CycloneDX, into dist/
	mkdir -p dist
	$(BIN)/cyclonedx-py requirements $(LOCKS)/server.txt --pyproject pyproject.toml --mc-type application --output-file dist/server.cdx.json
	$(BIN)/cyclonedx-py requirements $(LOCKS)/server-gpu.txt --pyproject pyproject.toml --mc-type application --output-file dist/server-gpu.cdx.json

abuse: .venv/.development  ## what a bystander feels while a server is abused; 100,000 damaged messages
	$(BIN)/python benchmarks/abuse.py

chaos: .venv/.development  ## overload, soak, clients that die, failing engines, signals, attacks: docs/chaos-figures.md
	$(BIN)/python benchmarks/chaos.py

bench: .venv/.development  ## every measured claim
	$(BIN)/python benchmarks/inversion_step.py
	$(BIN)/python benchmarks/attribution.py

clean:
	rm -rf .venv out dist

.venv/bin/python:
	$(PYTHON) -c "import sys; assert sys.version_info >= (3, 11), 'medxgan needs Python 3.11 or newer'"
	$(PYTHON) -m venv .venv

.venv/.serving: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[cli,server,dicom,web]" pydicom-data==1.0.0
	touch $@

.venv/.gateway: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[gateway,server]" pydicom-data==1.0.0
	touch $@ .venv/.serving

.venv/.development: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	touch $@ .venv/.serving .venv/.gateway
