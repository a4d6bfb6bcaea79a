#!/bin/sh
# SPDX-License-Identifier: MIT
# The shared library defines pg_* symbols and no others.
found=$(nm -D --defined-only "$1" | awk '{ print $3 }')
[ -n "$found" ] || { echo "no symbols in $1"; exit 1; }
other=$(printf '%s\n' "$found" | grep -v '^pg_')
[ -z "$other" ] || { echo "other symbols than pg_*: $other"; exit 1; }
