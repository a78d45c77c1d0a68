# One line per target; the work is in `python -m filterlens`. .venv/*.installed say which pins were installed last.
PYTHON ?= python3
IN := .venv/bin
.PHONY: book test lab bench paper clean

book: .venv/book.installed ; @$(IN)/filterlens book --profile book
test: .venv/test.installed ; OMP_NUM_THREADS=1 $(IN)/python -m pytest tests --ignore=tests/bench -n 2 --dist loadscope --no-loadscope-reorder
lab: .venv/book.installed ; $(IN)/jupyter lab notebooks $(ARGS)
bench: .venv/bench.installed ; $(IN)/filterlens bench
# every published table at the paper's own scale, as far as this machine can; SPECS="000-table-1" for one, ARGS="--device cuda" or "--scheduler tcp://..."
paper: .venv/book.installed ; $(IN)/filterlens sweep $(SPECS) $(ARGS)
clean: ; rm -rf _build book/notebooks book/results.md book/results-pairs.svg book/claims.md data/results/*.smoke.csv .pytest_cache .hypothesis .benchmarks

.venv/book.installed: requirements.txt lib/pyproject.toml
	@echo "Installing the pins of requirements.txt into .venv (once; about 2 GB, some minutes)"
	$(PYTHON) -m venv .venv
	$(IN)/pip install --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/test.installed: requirements-test.txt .venv/book.installed
	@echo "Installing what the tests need on top (requirements-test.txt)"
	$(IN)/pip install --disable-pip-version-check -r requirements-test.txt
	@touch $@

.venv/bench.installed: requirements-bench.txt .venv/test.installed
	@echo "Installing the peers that the benchmarks run against (requirements-bench.txt)"
	$(IN)/pip install --disable-pip-version-check -r requirements-bench.txt
	@touch $@
