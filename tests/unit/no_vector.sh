#!/bin/sh
# SPDX-License-Identifier: MIT
# tests/unit/no_vector.sh OBJDUMP LIBRARY...: no instruction in these names an x87, MMX, SSE or AVX
# register: the code runs while a guest's are live. The first argument is the disassembler.
objdump=$1
shift
bad=0
for o in "$@"; do
	"$objdump" -d --no-show-raw-insn "$o" >"${TMPDIR:-/tmp}/no_vector.$$" || exit 1
	grep -q '%r' "${TMPDIR:-/tmp}/no_vector.$$" || {
		echo "$o: nothing was disassembled"
		bad=1
	}
	if grep -E '%([xyz]?mm[0-9]|st|k[0-7])' "${TMPDIR:-/tmp}/no_vector.$$"; then
		echo "$o: uses vector or floating-point registers"
		bad=1
	fi
done
rm -f "${TMPDIR:-/tmp}/no_vector.$$"
exit $bad
