#!/bin/bash
# SPDX-License-Identifier: MIT
# Long runs by name: long.sh fuzz BUILD SECONDS | long.sh insn BUILD CASES | long.sh mapping BUILD SECONDS
set -euo pipefail
what=${1:?usage: long.sh fuzz|insn|mapping BUILD LENGTH}
build=${2:?usage: long.sh fuzz|insn|mapping BUILD LENGTH}
length=${3:?usage: long.sh fuzz|insn|mapping BUILD LENGTH}

# Says which program a command needs that the build does not have.
need() {
	if [ ! -x "$1" ]; then
		echo "long.sh: $1 was not built" >&2
		exit 2
	fi
}

case $what in
fuzz)
	# libFuzzer drives the loader's header parser; a finding is left in the folder.
	work=$build/fuzz
	mkdir -p "$work/corpus"
	clang -g -O1 -std=gnu11 -D_GNU_SOURCE -Ulinux -DPG_FUZZ_ENTRY_ONLY -Isrc \
		-fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
		-o "$work/fuzz_elf" tests/loader/fuzz_elf.c src/linux/exec/elf.c src/base/assert.c
	for seed in /bin/true /bin/busybox /lib64/ld-linux-x86-64.so.2; do
		[ -r "$seed" ] && head -c 65536 "$seed" > "$work/corpus/seed-$(basename "$seed")"
	done
	exec "$work/fuzz_elf" -max_total_time="$length" -artifact_prefix="$work/" "$work/corpus"
	;;
insn)
	need "$build/tests/insn/insn"
	seed=$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')
	for mode in exact fast; do
		echo "insn: $length cases of each class, $mode mode, seed $seed"
		"$build/tests/insn/insn" --mode "$mode" --seed "$seed" --count "$length"
	done
	;;
mapping)
	need "$build/tests/mapping/mapping"
	seed=$(od -An -N3 -tu4 /dev/urandom | tr -d ' ')
	for mode in exact fast; do
		echo "mapping: $((length / 2)) seconds, $mode mode, seeds from $seed"
		tests/mapping/run.py --pagoda "$build/pagoda" --program "$build/tests/mapping/mapping" \
			--mode "$mode" --seed "$seed" --count 6000 --length 60 --seconds $((length / 2))
	done
	;;
*)
	echo "long.sh: no long run '$what'; there are fuzz, insn and mapping" >&2
	exit 2
	;;
esac
