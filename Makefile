# The commands of this checkout. Everything they write is inside it.
.PHONY: demo test test-fast test-real test-notebook lab lint format bench conformance lock wheel clean

here := $(CURDIR)
export GGML_CACHE ?= $(here)/build/cache
export IPYTHONDIR := $(here)/build/home/ipython
export JUPYTER_CONFIG_DIR := $(here)/build/home/jupyter
export JUPYTER_DATA_DIR := $(here)/build/home/jupyter-data
export JUPYTER_RUNTIME_DIR := $(here)/build/home/jupyter-runtime
export KERAS_HOME := $(here)/build/home/keras
export MPLCONFIGDIR := $(here)/build/home/matplotlib
export MYPY_CACHE_DIR := $(here)/build/home/mypy
# TensorFlow's notices about its build are not about this project
export TF_CPP_MIN_LOG_LEVEL := 2
export PYDEVD_DISABLE_FILE_VALIDATION := 1
# Jupyter and IPython look for the parents of theirs
$(shell mkdir -p $(here)/build/home)
export PATH := $(here)/.venv/bin:$(PATH)

demo: ## the main job, from nothing to predictions
	@scripts/install demo
	@scripts/demo

test: test-fast test-real test-notebook ## everything

test-fast: ## the tests that start nothing, under a minute
	@scripts/install test
	scripts/test-halves "not real" c

test-real: ## the tests that start processes
	@scripts/install test
	@scripts/browser
	scripts/test-halves real h

test-notebook: ## the notebook by nbval, from the wheel
	@scripts/install test
	scripts/nbval

lab: ## the notebook in JupyterLab
	@scripts/install lab
	jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root) notebooks/rain_predictor.ipynb

lint: ## ruff, mypy and the layers of the house
	@scripts/install test
	ruff check .
	ruff format --check .
	mypy
	lint-imports

format:
	@scripts/install test
	ruff check --fix .
	ruff format .

bench: ## figures as ratios, measured in one run
	@scripts/install test
	python -m bench

conformance: ## docs/conformance.md, from the rules and their tests
	@scripts/install test
	python tests/rules.py

lock: ## resolve requirements.lock anew
	@scripts/install test
	scripts/lock

wheel: ## dist/*.whl
	@scripts/install test
	python -m build --wheel --installer uv --outdir dist .

clean: ## everything that these commands made
	-[ ! -x .venv/bin/ggml ] || GGML_WORKSPACE=build/demo/.ggml .venv/bin/ggml sandbox stop
	rm -rf .venv build dist *.egg-info
