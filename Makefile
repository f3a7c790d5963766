# make book: execute every notebook and build the site.   make test: check everything.   make lab: JupyterLab.
# The name of a file is no text for make or the shell: it is handed on as it was typed. This stands first, since make would expand
# what it exports for the first $(shell …) below.
override IMAGE := $(value IMAGE)
export IMAGE

# By default the newest Python from 3.11 to 3.13 that is found; make book PYTHON=python3.12 names another.
PYTHON ?=
# Where the small build of torch, without GPU code, comes from. On a computer with an NVIDIA GPU, install torch by hand.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

BIN := .venv/bin
TORCH := $(shell grep '^torch==' constraints.txt)
# The programs of others to compare with. AtomAI needs six and does not say so; torchvision fits TORCH.
PEERS := torchvision==0.28.0 atomai==0.8.1 pyroved==0.3.0 pyro-ppl==1.9.2 six atomap==0.4.2
SOURCES := $(shell find book helpers data -type f -not -path '*/__pycache__/*' -not -path '*/.ipynb_checkpoints/*')

ifneq ($(wildcard ../shared/data/.),)
export RVAE_STEM_DATA ?= $(abspath ../shared/data)
endif

.PHONY: book test lab analyse release costs slides student bundle bench bench-peers bench-columns bench-window bounds clean

# The stamp .built goes first: while the site is built anew, and where that is stopped or fails, it is not built.
book: .venv/.installed
	@rm -f _build/.built
	@$(BIN)/python book/build.py
	@touch _build/.built

# Two files of tests at a time, with one thread each, as the pages of the book.
test: .venv/.installed _build/.built
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -rs -n 2 --dist loadfile

lab: .venv/.installed
	$(BIN)/jupyter lab --notebook-dir=book

# Maps and a report of an image of your own: make analyse IMAGE=path/to/file
analyse: .venv/.installed
	@test -n "$$IMAGE" || { echo "Which image? make analyse IMAGE=path/to/file" >&2; exit 2; }
	@$(BIN)/rvae-stem analyse -- "$$IMAGE"

# Set the version, and the tag that launch links and Colab cells follow: make release VERSION=0.2.0
release: .venv/.installed
	$(BIN)/python book/release.py "$(VERSION)"

# Copy the measured run times into README.md.
costs: _build/.built
	$(BIN)/python book/build.py --readme

# For a class: slides, notebooks without solutions, and all there is in one file for a room without network.
slides: _build/.built
	$(BIN)/python book/editions.py slides

student: .venv/.installed
	$(BIN)/python book/editions.py student

bundle: _build/.built
	$(BIN)/python book/editions.py bundle

# Autoencoders side by side on simulated images, into book/benchmark.md: those of this book, or with those of others.
bench: .venv/.installed
	$(BIN)/python tests/benchmarks/rvae.py --only ours coordinate

bench-peers: .venv/.installed .venv-peers/.installed
	$(BIN)/python tests/benchmarks/rvae.py

# Ways to find and locate columns side by side, into book/benchmark_columns.md.
bench-columns: .venv-peers/.installed
	.venv-peers/bin/python tests/benchmarks/columns.py --keep

# Is the recommended window as good as the best? Every size trained, for nine simulated cases.
bench-window: .venv/.installed
	$(BIN)/python tests/benchmarks/window.py --keep

bounds: .venv/.installed
	$(BIN)/python -W ignore tests/benchmarks/bounds.py --beta --keep

clean:
	rm -rf _build

_build/.built: $(SOURCES) _config.yml | .venv/.installed
	@$(BIN)/python book/build.py
	@touch $@

# The stamp .installed comes last: an environment that was not finished is finished, or made anew, by the next call.
.venv/.installed: pyproject.toml constraints.txt
	@sh book/venv.sh .venv "$(PYTHON)"
	@$(BIN)/python -m pip install --quiet --no-deps --retries 0 --timeout 20 --index-url $(TORCH_INDEX) $(TORCH) 2>/dev/null \
	  || echo "$(TORCH_INDEX) gave no torch for this Python; it comes from the usual registry"
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[book,test,lab]'
	@touch $@

.venv-peers/.installed: constraints.txt
	@sh book/venv.sh .venv-peers "$(PYTHON)"
	@.venv-peers/bin/python -m pip install --quiet --no-deps --retries 0 --timeout 20 --index-url $(TORCH_INDEX) \
	  $(TORCH) $(filter torchvision==%,$(PEERS)) 2>/dev/null \
	  || echo "$(TORCH_INDEX) gave no torch for this Python; it comes from the usual registry"
	@.venv-peers/bin/python -m pip install --quiet --constraint constraints.txt $(TORCH) $(PEERS) --editable .
	@touch $@
