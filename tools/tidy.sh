#!/bin/bash
# SPDX-License-Identifier: MIT
# clang-tidy with the tree's .clang-tidy over the sources that BUILD compiles: tidy.sh BUILD [FILE...]
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:?usage: tidy.sh BUILD [FILE...]}
shift
if [ $# -eq 0 ]; then
	mapfile -t files < <(find src -name '*.c' | sort)
else
	files=("$@")
fi
# The commands of the build, without what only gcc knows.
commands=$(mktemp -d)
trap 'rm -rf "$commands"' EXIT
sed 's/ -fno-tree-[a-z-]*//g' "$build/compile_commands.json" > "$commands/compile_commands.json"
printf '%s\0' "${files[@]}" |
	xargs -0 -n 2 -P "$(nproc)" clang-tidy -p "$commands" --quiet --warnings-as-errors='*' 2> /dev/null
echo "tidy: ${#files[@]} files, nothing to say"
