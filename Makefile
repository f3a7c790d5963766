# make book: execute every notebook and build the site.   make test: check everything.   make lab: JupyterLab.
PYTHON ?= python3.11
# Where the small build of torch, without GPU code, comes from. On a computer with an NVIDIA GPU, install torch by hand.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

BIN := .venv/bin
TORCH := $(shell grep '^torch==' constraints.txt)
SOURCES := $(shell find book helpers data -type f -not -path '*/__pycache__/*' -not -path '*/.ipynb_checkpoints/*')

ifneq ($(wildcard ../shared/data/.),)
export RVAE_STEM_DATA ?= $(abspath ../shared/data)
endif

.PHONY: book test lab costs clean

book: .venv/.installed
	$(BIN)/python book/build.py
	@touch _build/.built

test: .venv/.installed _build/.built
	$(BIN)/python -m pytest -rs

lab: .venv/.installed
	$(BIN)/jupyter lab --notebook-dir=book

# Copy the measured run times into README.md.
costs: _build/.built
	$(BIN)/python book/build.py --readme

clean:
	rm -rf _build

_build/.built: $(SOURCES) _config.yml | .venv/.installed
	$(BIN)/python book/build.py
	@touch $@

# Where the index cannot be reached, the second line installs torch from the usual registry.
.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	-$(BIN)/python -m pip install --quiet --no-deps --retries 0 --timeout 20 --index-url $(TORCH_INDEX) $(TORCH)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[book,test,lab]'
	@touch $@
