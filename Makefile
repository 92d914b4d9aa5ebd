# The whole set-up. `make demo` and `make test` need Python 3.10 or newer, make and a package index; nothing else.
#
#   make demo       explain a prompt with the bundled model  (PROMPT="..." OUT=folder for others)
#   make test       run all tests                            (PYTEST="-k grammar" for some of them; JOBS=0 for one process)
#   make audiocraft install audiocraft beside the rest, for the models audiogen and musicgen-audiocraft
#   make lint       ruff and mypy
#   make format     the same, mending what can be mended
#   make docs       the documentation as a site, in site/    (fails on a warning or a broken link)
#   make bench      the benchmark of docs/benchmark.md       (BENCH=quality, "speed --part foley", audiogen, ...)
#   make train      train foley-musicgen and the judge anew; resumes after an interruption
#   make train-diffusion  the same for foley-audioldm2 and foley-audioldm
#   make clean      remove the environment and what the targets wrote
#
# PYTHON=python3.12 make demo picks another Python; remove .venv first when it has been made with one already.

PYTHON ?= python3
VENV ?= .venv
PROMPT ?= we hear a loud bell followed by the rain
OUT ?= out/demo
PYTEST ?=
JOBS ?= 2
BENCH ?= quality

BIN := $(VENV)/bin
CONSTRAINTS := constraints.txt
PROJECTS := pyproject.toml $(addsuffix /pyproject.toml,adapters/transformers adapters/diffusers examples/foley)
PASST := adapters/passt/pyproject.toml adapters/passt/xattnmask_passt/install.py
AUDIOCRAFT := $(addprefix adapters/audiocraft/,pyproject.toml $(addprefix xattnmask_audiocraft/,install.py requirements.txt))
EDITABLE = -e '.$(1)' -e './adapters/transformers$(1)' -e './adapters/diffusers$(1)' -e ./examples/foley
TRAIN = OMP_WAIT_POLICY=PASSIVE HF_HUB_OFFLINE=1 $(BIN)/python -m xattnmask_foley.training --work examples/foley/work
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --quiet -c $(CONSTRAINTS)

# Idle threads must sleep: on a busy machine, spinning ones make small models many times slower.
QUIET := OMP_WAIT_POLICY=PASSIVE OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1

.PHONY: demo test audiocraft lint format docs bench train train-diffusion clean
.DELETE_ON_ERROR:

demo: $(VENV)/.run
	OMP_WAIT_POLICY=PASSIVE HF_HUB_OFFLINE=1 $(BIN)/xattnmask explain "$(PROMPT)" --out "$(OUT)"

test: $(VENV)/.test
	$(QUIET) $(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(PYTEST)

audiocraft: $(VENV)/.audiocraft

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/mypy xattnmask
	$(BIN)/mypy adapters/transformers/xattnmask_transformers
	$(BIN)/mypy adapters/diffusers/xattnmask_diffusers
	$(BIN)/mypy adapters/audiocraft/xattnmask_audiocraft
	$(BIN)/mypy adapters/passt/xattnmask_passt
	$(BIN)/mypy examples/foley/xattnmask_foley

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .

docs: $(VENV)/.docs
	OMP_NUM_THREADS=1 $(BIN)/python -m sphinx -W --keep-going -q -d site/.doctrees docs site

bench: $(VENV)/.test
	OMP_WAIT_POLICY=PASSIVE HF_HUB_OFFLINE=1 $(BIN)/python -m benchmarks $(BENCH)

train: $(VENV)/.run
	$(TRAIN)

train-diffusion: $(VENV)/.run
	$(TRAIN) autoencoder clap vocoder audioldm2 audioldm diffusion-card

clean:
	rm -rf $(VENV) out site dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

# Stamp files: the environment is made once, and made up to date when a pyproject or a pin has changed.
$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo "xattnmask needs Python 3.10 or newer; this one is: $$($(PYTHON) --version 2>&1)." >&2; \
	  echo "Name a newer one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/.run: $(VENV)/.made $(PROJECTS) $(CONSTRAINTS)
	@echo "installing into $(VENV) (torch is most of it; this takes a minute or more)"
	$(INSTALL) $(call EDITABLE,)
	@touch $@

# Its own installer, because audiocraft's pins refuse to be installed; it ends with what breaks torchaudio without CUDA.
$(VENV)/.audiocraft: $(VENV)/.run $(AUDIOCRAFT)
	$(INSTALL) -e ./adapters/audiocraft
	$(BIN)/python -m xattnmask_audiocraft.install -c $(CONSTRAINTS)
	@touch $@

$(VENV)/.test: $(VENV)/.audiocraft $(PASST) examples/custom-adapter/pyproject.toml
	$(INSTALL) $(call EDITABLE,[test]) -e './adapters/audiocraft[test]' -e './adapters/passt[test]' -e ./examples/custom-adapter
	$(BIN)/python -m xattnmask_passt.install -c $(CONSTRAINTS)
	@touch $@

$(VENV)/.dev: $(VENV)/.test
	$(INSTALL) -e '.[dev]'
	@touch $@

$(VENV)/.docs: $(VENV)/.dev
	$(INSTALL) -e '.[docs]'
	@touch $@
