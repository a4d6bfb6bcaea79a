#!/bin/sh
# SPDX-License-Identifier: MIT
# The scalar half of the complex instructions is built with general registers only,
# and calls nothing of libc or Zydis, whose functions may use others.
# usage: general_registers.sh NM LIBRARY
set -eu
calls=$("$1" -u "$2" | awk '$1 == "U" { print $2 }' | sort -u |
	grep -vE '^(complex_|pg_|_GLOBAL_OFFSET_TABLE_$)' || true)
if [ -n "$calls" ]; then
	echo "calls outside:" $calls
	exit 1
fi
