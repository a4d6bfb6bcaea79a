#!/bin/bash
# SPDX-License-Identifier: MIT
# Installs the Debian 12 packages that are missing, by set: build, test, fuzz, bench, servers, programs (default: build, test, bench).
# When all are there it only asks dpkg and is done in some milliseconds.
set -euo pipefail

build="gcc libc6-dev meson ninja-build pkg-config libzydis-dev libdw-dev libelf-dev libiberty-dev libcmocka-dev libzstd-dev liblz4-dev libxxhash-dev
	liburing-dev python3"
test="clang clang-format clang-tidy mandoc sqlite3 lua5.4 busybox-static musl-tools golang-go
	bc xz-utils gawk perl openssl
	bash dash bsdutils coreutils findutils git make nodejs procps psmisc python3-psutil redis-server redis-tools smem strace stress-ng
	g++ libpython3.11-testsuite"
fuzz="clang libclang-rt-14-dev busybox-static"
bench="qemu-user valgrind sqlite3 gzip redis-server libjemalloc2 libmimalloc2.0 libtcmalloc-minimal4"

servers="postgresql-15"

wanted=""
for set in "${@:-build test bench}"; do
	for name in $set; do
		case $name in
		build) wanted+=" $build" ;;
		test) wanted+=" $test" ;;
		fuzz) wanted+=" $fuzz" ;;
		bench) wanted+=" $bench" ;;
		servers) wanted+=" $servers" ;;
		programs) wanted+=" $(python3 "$(dirname "$0")/../tests/programs/debian.py" --packages)" ;;
		*)
			echo "deps.sh: no set '$name'; sets are build, test, fuzz, bench, servers, programs" >&2
			exit 2
			;;
		esac
	done
done

if ! command -v dpkg-query > /dev/null; then
	echo "deps.sh: this is not a Debian system; needed are:" $wanted >&2
	exit 0
fi

there=" $({ dpkg-query -W -f='${db:Status-Status} ${binary:Package}\n' $wanted 2> /dev/null || true; } |
	sed -n 's/^installed \([^:]*\).*/\1/p' | tr '\n' ' ')"
missing=""
for package in $wanted; do
	case $there in
	*" $package "*) ;;
	*) missing+=" $package" ;;
	esac
done
[ -z "$missing" ] && exit 0

sudo=""
if [ "$(id -u)" != 0 ]; then
	if ! command -v sudo > /dev/null; then
		echo "deps.sh: as root, install:$missing" >&2
		exit 1
	fi
	sudo="sudo"
fi

echo "deps.sh: installing$missing" >&2
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq < /dev/null
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing \
	< /dev/null > /dev/null
