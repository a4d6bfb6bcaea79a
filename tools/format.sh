#!/bin/bash
# SPDX-License-Identifier: MIT
# clang-format over every C file of the tree, in place, and the index of invariants.
set -euo pipefail
cd "$(dirname "$0")/.."
find include src tests bench docs -name '*.[ch]' -print0 | xargs -0 clang-format -i
tools/invariants.py .
