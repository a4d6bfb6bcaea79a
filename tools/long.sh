#!/bin/bash
# SPDX-License-Identifier: MIT
# Long runs by name: long.sh fuzz BUILD SECONDS | long.sh insn BUILD CASES
set -euo pipefail
what=${1:?usage: long.sh fuzz|insn BUILD LENGTH}
build=${2:?usage: long.sh fuzz|insn BUILD LENGTH}
length=${3:?usage: long.sh fuzz|insn BUILD LENGTH}

# Says which program a command needs that the build does not have.
need() {
	if [ ! -x "$1" ]; then
		echo "long.sh: $1 was not built" >&2
		exit 2
	fi
}

case $what in
fuzz)
	need "$build/tests/loader/fuzz_elf"
	exec "$build/tests/loader/fuzz_elf" --seconds "$length"
	;;
insn)
	need "$build/tests/insn/insn"
	seed=$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')
	for mode in exact fast; do
		echo "insn: $length cases of each class, $mode mode, seed $seed"
		"$build/tests/insn/insn" --mode "$mode" --seed "$seed" --count "$length"
	done
	;;
*)
	echo "long.sh: no long run '$what'; there are fuzz and insn" >&2
	exit 2
	;;
esac
