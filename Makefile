# Two commands do everything on a fresh machine: `make bench` and `make test`. `make help` lists the rest.
MODEL     ?= resnet18
WEIGHTS   ?= default
DATA      ?=
PRECISION ?= fp32,int8
BACKENDS  ?= eager,relay,onnxruntime
FRONTEND  ?=
THREADS   ?=
BATCH     ?= 1
ROUNDS    ?= 5
# Test images of the check: all of them, or for every backend as many as the quarter of an hour allows.
IMAGES    ?= $(if $(filter all,$(BACKENDS)),500)
TRIALS    ?= 400
MINUTES   ?=
PYTHON    ?= python3

VENV      := .venv
READY     := $(VENV)/.ready
PEERS     := $(VENV)/.peers
RELAX     := $(VENV)/environments/relax/.ready
ALONE     := executorch litert
BROWSER   := $(VENV)/.browser
BIN       := $(VENV)/bin
given      = $(if $($(1)),--$(2) $($(1)))
comma     := ,
chosen     = $(subst $(comma), ,$(BACKENDS))
needs      = $(READY) $(if $(filter all openvino ncnn mnn,$(chosen)),$(PEERS)) $(if $(filter relax,$(chosen)),$(RELAX))
needs     += $(patsubst %,$(VENV)/environments/%/.ready,$(filter $(ALONE),$(chosen)))
SUBJECT    = --model $(MODEL) --weights $(WEIGHTS) $(call given,DATA,data)
FORMS      = $(call given,THREADS,threads) --precision $(PRECISION) $(call given,FRONTEND,frontend) --batch-size $(BATCH)

TVM        = $(dir $(shell $(BIN)/python -c 'from importlib.util import find_spec; print(find_spec("tvm").origin)'))
RUNTIME   := tvm_bench/backends/relay
PLATFORM  := manylinux_2_27_x86_64

# Folders of a model that training filled.
TRAINED   := training compressed qat

.DEFAULT_GOAL := help
.PHONY: help setup peers relax $(ALONE) browser bench tune build report test test-all coverage docs dist lint clean distclean

help: ## List the targets and variables
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "variables: MODEL=$(MODEL) WEIGHTS=$(WEIGHTS) DATA= PRECISION=$(PRECISION) BACKENDS=$(BACKENDS) FRONTEND= THREADS= BATCH=$(BATCH) ROUNDS=$(ROUNDS) IMAGES=$(IMAGES) TRIALS=$(TRIALS) MINUTES="

setup: $(READY) ## Create .venv from setup.cfg

$(READY): setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[workbench,dev]'
	touch $@

peers: $(PEERS) ## Add OpenVINO, NNCF, ncnn and MNN to .venv; `make bench BACKENDS=all` does it too

$(PEERS): $(READY)
	$(BIN)/python -m pip install --quiet --editable '.[peers]'
	touch $@

relax: $(RELAX) ## Build the environment of Relax (apache-tvm) in .venv; `make bench BACKENDS=relay,relax` does it too

$(RELAX): $(READY)
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --editable '.[relax]'
	touch $@

executorch: $(VENV)/environments/executorch/.ready ## The same for ExecuTorch
litert: $(VENV)/environments/litert/.ready ## The same for LiteRT

# Without what these packages ask for beside torch: it is for other devices and for language models. setup.cfg lists what
# is imported.
$(ALONE:%=$(VENV)/environments/%/.ready): $(READY)
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --editable .
	$(@D)/bin/python -c "from tvm_bench.host.packages import required; \
		print(*map('=='.join, required('$(notdir $(@D))').items()))" | xargs $(@D)/bin/python -m pip install --quiet --no-deps
	$(@D)/bin/python -m pip install --quiet torch
	touch $@

browser: $(BROWSER) ## Add what the tests need to open pages in Chromium; `make test-all` does it too

$(BROWSER): $(READY)
	$(BIN)/python -m pip install --quiet --editable '.[browser]'
	command -v chromium >/dev/null || { apt-get update && apt-get install --yes --no-install-recommends chromium; } >/dev/null \
		|| echo "Chromium cannot be installed: the tests that need it will be skipped"
	touch $@

bench: $(needs) ## Build, check and race MODEL; print the table and write the report
	$(BIN)/tvm-bench bench $(SUBJECT) $(FORMS) --backends $(BACKENDS) --rounds $(ROUNDS) $(call given,IMAGES,images)

tune: $(READY) ## Search faster kernels for MODEL; bench then races them too
	$(BIN)/tvm-bench tune $(SUBJECT) $(FORMS) --trials $(TRIALS) $(call given,MINUTES,minutes)

build: $(READY) ## Only compile MODEL with TVM
	$(BIN)/tvm-bench build $(SUBJECT) $(FORMS)

report: $(READY) ## Write the report of the last bench of MODEL again
	$(BIN)/tvm-bench report $(SUBJECT)

test: $(READY) ## Run the tests, but for the slow ones
	$(BIN)/python -m pytest

test-all: $(READY) $(BROWSER) $(RELAX) ## Run all tests
	$(BIN)/python -m pytest -m ''

coverage: $(READY) ## Run what `make test` runs; print which lines ran, in jobs too
	$(BIN)/python -m coverage erase
	$(BIN)/python -m coverage run -m pytest
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report

docs: $(READY) ## Write the documentation as a site to docs/_build/html, without network
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --nitpicky docs docs/_build/html

dist: $(READY) ## Write a wheel to dist/, with TVM's runtime in it
	cp $(TVM)/libtvm_runtime.so $(RUNTIME)
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist --config-settings=--build-option=--plat-name=$(PLATFORM) .
	rm -r $(RUNTIME)/libtvm_runtime.so build

lint: $(READY) ## Style, likely bugs, type hints
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

clean: ## Delete what was built and measured; what was trained and the environment stay
	@for folder in artifacts/*; do \
		for trained in $(TRAINED); do [ -d "$$folder/$$trained" ] && continue 2; done; \
		rm -rf "$$folder"; \
	done
	@find artifacts -mindepth 2 -maxdepth 2 $(TRAINED:%=! -name %) -exec rm -rf {} +

distclean: ## Delete all that `make` made: trained weights and the environment too
	rm -rf artifacts/* $(VENV)
