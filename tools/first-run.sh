#!/bin/bash
# SPDX-License-Identifier: MIT
# `make run`: an unmodified, dynamically linked program of the distribution on 64 MiB of Pagoda's
# memory. first-run.sh PAGODA
set -euo pipefail
pagoda=${1:?usage: first-run.sh PAGODA}

read -r -d '' program << 'PYTHON' || true
import json
squares = {n: n * n for n in range(20000)}
text = json.dumps(squares)
print("a dictionary of", len(squares), "squares is", len(text), "bytes of JSON;",
      "the largest is", json.loads(text)["19999"])
PYTHON

echo "\$ $pagoda run --memory 64M -- /usr/bin/python3 -c '...'"
exec "$pagoda" run --memory 64M -- /usr/bin/python3 -c "$program"
