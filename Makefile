# hkd's tasks. `make` alone lists them.
PYTHON   ?= python3
# Passed to pip on each install, for example: make test PIP_ARGS='--extra-index-url https://download.pytorch.org/whl/cpu'
PIP_ARGS ?=
VENV     := .venv
BIN      := $(VENV)/bin
STAMP    := $(VENV)/.stamp
PIP      := $(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt $(PIP_ARGS)
# nbdev's own commands find tools/ through this.
export PYTHONPATH := $(CURDIR)
export TOKENIZERS_PARALLELISM := false

.DEFAULT_GOAL := help
.PHONY: help install demo records bench test torture slow run export clean-nbs colab readme prepare docs preview clean

help: ## this list
	@echo "make TARGET, where TARGET is one of"
	@grep -hE '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sed -E 's/^([a-z-]+):.*## /\1|/' | while IFS='|' read -r t h; do printf '  %-10s %s\n' "$$t" "$$h"; done

# The stamp is made last, so a broken or interrupted install is taken up again by the next call.
$(STAMP): settings.ini setup.py constraints.txt
	@rm -f $@
	@echo "Installing into $(VENV) (about 2 GB, once) ..."
	@$(PYTHON) -c 'import sys; sys.exit("hkd needs Python 3.11 or later, $(PYTHON) is %d.%d: make PYTHON=python3.12" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) setuptools wheel
	@# editable_mode=compat: else a clone called hkd hides the package from Python that is started beside it
	@$(PIP) --no-build-isolation --use-pep517 --config-settings editable_mode=compat -e '.[dev]'
	@touch $@

install: $(STAMP) ## create .venv and install hkd with the pinned versions
	@echo "hkd is installed in $(VENV)"

demo: $(STAMP) ## the whole hybrid on sentences and leaves made on the spot, into runs/
	@$(BIN)/hkd demo

records: $(STAMP) ## the records of real runs in nbs/results (many hours; NAMES="bert vit" for some)
	@HF_HUB_OFFLINE=1 $(BIN)/python tools/records.py $(NAMES)

bench: $(STAMP) ## how fast training and artifacts are, into nbs/results/bench.json (half an hour on an idle machine)
	@HF_HUB_OFFLINE=1 $(BIN)/python benchmarks/bench.py

test: $(STAMP) ## run every check and every notebook, offline, on the CPU
	@$(BIN)/python tools/check.py

torture: $(STAMP) ## kill both demo recipes at random moments, 30 rounds each; a million texts, 200,000 images; the workers of a search (hours)
	@$(BIN)/python tools/torture.py
	@$(BIN)/python tools/load.py
	@$(BIN)/python tools/workers.py

slow: $(STAMP) ## run the notebooks with their `slow` cells
	@OMP_NUM_THREADS=$${OMP_NUM_THREADS:-2} $(BIN)/nbdev_test --flags slow --n_workers 1 --do_print --timing

run: $(STAMP) ## run notebooks from top to bottom and save their outputs (NB="nbs/05_prune.ipynb")
	@$(BIN)/python tools/execute.py $(NB)

export: $(STAMP) ## write hkd/*.py from the notebooks
	@$(BIN)/nbdev_export

clean-nbs: $(STAMP) ## strip the notebooks of what changes at each run
	@$(BIN)/nbdev_clean

colab: ## put the Colab badge and install cell into each notebook
	@$(PYTHON) tools/colab.py

readme: ## write README.md from nbs/index.ipynb (needs no install)
	@$(PYTHON) tools/readme.py

prepare: colab export clean-nbs readme test ## export, clean, readme, test: what a commit needs

docs: $(STAMP) readme ## render the site into _docs (needs quarto)
	@command -v quarto >/dev/null || { echo "make docs: quarto is not installed, get it from https://quarto.org/docs/get-started" >&2; exit 1; }
	@touch README.md
	@$(BIN)/nbdev_docs
	@$(BIN)/python tools/demos.py _docs

preview: $(STAMP) readme ## show the site while you edit (needs quarto)
	@command -v quarto >/dev/null || { echo "make preview: quarto is not installed, get it from https://quarto.org/docs/get-started" >&2; exit 1; }
	@$(BIN)/nbdev_preview

clean: ## remove what the tasks made, .venv apart
	@rm -rf _proc _docs build dist *.egg-info nbs/nbdev.yml nbs/sidebar.yml
