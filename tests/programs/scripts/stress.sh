# SPDX-License-Identifier: MIT
# stress-ng, bounded, with --verify: stress.sh STRESSOR OPS [OPTION...]. Says only whether all was as it should be.
name=$1 ops=$2
shift 2
stress-ng --no-rand-seed --seed 1 --temp-path . --timeout 100 --verify --$name 1 --$name-ops $ops "$@" > log 2>&1
status=$?
grep -qiE 'fail|error|corrupt' log && cat log
rm -f log
echo "$name: status $status"
