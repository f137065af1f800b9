# One word a task. Each runs in the environment that is active; `make install` sets one up.

.PHONY: install test slow lint format types docs site golden picture page sample bench constraints ci

install:  ## everything a developer needs, as CI has it
	python -m pip install -c constraints.txt -e '.[lint]'

test:  ## all tests but the slow ones
	python -m pytest

slow:  ## the slow tests
	python -m pytest -m slow

lint:  ## style and types, as CI checks them
	ruff check .
	ruff format --check .
	mypy

format:  ## put the code in the house style
	ruff check --fix .
	ruff format .

docs: picture  ## remake what the docs show: the picture and the help blocks
	python docs/help.py
	python docs/completion.py

site:  ## build the docs as a site in build/site; fails if a link is broken
	python docs/site/build.py

picture:  ## remake docs/overview.svg from the sample data
	python docs/picture.py

page:  ## remake docs/page.png from the sample data; needs Chromium
	python docs/page.py

golden:  ## remake the golden files; read the diff before you commit it
	python -m pytest tests/output/test_golden.py --update-golden

sample:  ## remake the sample data
	python benchmarks/generate.py 160_000 sample_data --seed 27 --days 30 --projects 2 --releases 12 --users 6000 --until 2026-11-20T16:30:00Z --force

bench:  ## measure relhealth against its bars and its peers; remakes the table of docs/performance.md (two or three hours)
	python benchmarks/bars.py
	python benchmarks/overview.py --docs docs/performance.md

constraints:  ## pin what is installed now
	(head -1 constraints.txt; python -m pip freeze --exclude-editable | grep -v '^relhealth' | sort -f) > constraints.new
	mv constraints.new constraints.txt

ci:  ## what CI runs, from nothing
	.ci/run
