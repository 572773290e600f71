# `make demo` and `make test` are all that is needed on a machine with python3 (3.11 or newer), git and make.
# Both build .venv on their first run; see scripts/setup.sh.
.POSIX:
.PHONY: help demo test lint lint-types lint-words format screenshots setup clean

BIN = .venv/bin
# The offscreen platform of Qt has no OpenGL: without a screen, an X server in memory takes its place.
ON_SCREEN = scripts/on_screen.sh
# Tests in so many processes; 0 keeps them in one.
WORKERS = 2

help:
	@echo "make demo         segment a real image: labels, table, overlay; opens the viewer where there is a screen"
	@echo "make test         everything that a change must pass: lint, then the tests with coverage"
	@echo "make lint         style, types, import contracts, docstrings, plugin manifest"
	@echo "make format       put the style right"
	@echo "make screenshots  make the pictures of the manual again"
	@echo "make clean        remove the environment and all caches"

demo:
	@if [ -n "$$DISPLAY$$WAYLAND_DISPLAY" ]; then scripts/setup.sh --screen all; else scripts/setup.sh all; fi
	@$(BIN)/napari-unet demo

test: lint
	@$(ON_SCREEN) $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --cov --cov-report=term $(PYTEST)

# Types take as long as all the rest together.
lint: setup
	@$(MAKE) -j 2 lint-types lint-words

lint-types:
	$(BIN)/mypy

lint-words:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	@find src -name '*.py' ! -name '_version.py' | xargs $(BIN)/numpydoc lint
	@$(BIN)/python -W ignore -m npe2 validate --imports napari-unet-suite

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

screenshots: setup
	@$(ON_SCREEN) $(BIN)/python scripts/screenshots.py
	@$(ON_SCREEN) $(BIN)/python scripts/around_picture.py
	@$(ON_SCREEN) $(BIN)/python scripts/inside_picture.py
	@$(ON_SCREEN) $(BIN)/python scripts/class_pictures.py
	@$(ON_SCREEN) $(BIN)/python scripts/track_pictures.py
	@$(ON_SCREEN) $(BIN)/python scripts/cluster_pictures.py
	@$(ON_SCREEN) $(BIN)/python scripts/lesion_pictures.py
	@$(ON_SCREEN) $(BIN)/python scripts/raster_pictures.py

setup:
	@scripts/setup.sh --screen all test lint

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .coverage htmlcov build dist
