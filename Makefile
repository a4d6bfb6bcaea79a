# SPDX-License-Identifier: MIT
# The front door. Meson and Ninja do the work; this file only knows their names.
#
#   make           build build/pagoda (installs what the build needs first)
#   make run       a real program of the distribution on 64 MiB of Pagoda's memory, and what it cost
#   make check     build and run every test; the last line counts them
#   make bench     tables of ratios to native, some minutes
#   make bench-partition  contiguous memory: requests a second by fit and number of holes, to 10 million blocks
#   make bench-heap  libpagoda-malloc beside other allocators, some minutes
#   make bench-stack  what an allocation costs on the stack and on the heap, counted by Pagoda
#   make bench-swap  pages out and back, beside the stores alone and Linux
#   make heap-long real programs with libpagoda-malloc preloaded, with large inputs, HEAP_SECONDS (1800) long
#   make install   PREFIX and DESTDIR are honoured
#   make deps      Debian packages that are missing; nothing to do when all are there
#   make format    clang-format over the tree
#   make tidy      clang-tidy over the sources
#   make fuzz      the ELF loader on random files, FUZZ_SECONDS (600) long
#   make insn-long the differential instruction tester, INSN_ROUNDS (1000000) long
#   make swap-long a guest that touches 4 GiB on 512 MiB; scan cost to 16 GiB; every program of the check at 1/2, 1/4 and the
#                  least workable memory with every policy, stores in turn (SWAP_MATRIX=--pairs: each policy with each store), SWAP_SECONDS
#                  (3600) long; what is left then is named, and done the next time (SWAP_JOURNAL)
#   make policy-tables  misses by policy and memory, for docs/policies.md
#   make programs-long  a hundred programs of Debian natively and in both modes; installs some 2 GB of packages
#   make forks-long a million forks: nothing grows, FORKS (1000000), at most FORKS_SECONDS (3600) long
#   make servers-long  a database server, with a crash, natively and here: half a minute in each mode
#   make mapping-long  random mapping calls beside Linux, MAPPING_SECONDS (1200) long

BUILD  ?= build
PREFIX ?= /usr/local
MESON  ?= meson
NINJA  ?= ninja

FUZZ_SECONDS ?= 600
INSN_ROUNDS  ?= 1000000
MAPPING_SECONDS ?= 1200
HEAP_SECONDS ?= 1800
FORKS ?= 1000000
FORKS_SECONDS ?= 3600

SWAP_MIB ?= 4096
SWAP_SECONDS ?= 3600
SWAP_MATRIX ?=
SWAP_JOURNAL ?= $(BUILD)/swap-journal

.PHONY: all deps build-deps configure run check bench bench-heap heap-long install format tidy fuzz insn-long mapping-long forks-long clean help

all: build-deps configure
	@$(NINJA) -C $(BUILD) pagoda

deps:
	@tools/deps.sh build test bench

build-deps:
	@tools/deps.sh build

configure: $(BUILD)/build.ninja

$(BUILD)/build.ninja:
	@$(MESON) setup $(BUILD) --prefix $(PREFIX)

run: all
	@tools/first-run.sh $(BUILD)/pagoda

check:
	@tools/deps.sh build test
	@$(MAKE) --no-print-directory configure
	@$(NINJA) -C $(BUILD)
	@python3 tools/check.py $(BUILD)

bench: deps configure
	@$(NINJA) -C $(BUILD)
	@python3 bench/bench.py $(BUILD)

# 10 million live blocks take 1.5 GiB of the host.
.PHONY: bench-partition
bench-partition: deps configure
	@$(NINJA) -C $(BUILD) tests/partition/bench_partition
	@$(BUILD)/tests/partition/bench_partition 10000000

bench-heap: deps configure
	@$(NINJA) -C $(BUILD) src/heap/libpagoda-malloc.so bench/heap/bench_heap bench/heap/bench_replay
	@python3 bench/heap.py $(BUILD) $(if $(WRITE),--write $(WRITE))

.PHONY: bench-stack
bench-stack: deps configure
	@$(NINJA) -C $(BUILD) pagoda src/heap/libpagoda-malloc.so bench/heap/bench_heap
	@python3 bench/stack.py $(BUILD)

.PHONY: bench-swap
bench-swap: configure
	@$(NINJA) -C $(BUILD) tests/scale/bench_swap
	@$(BUILD)/tests/scale/bench_swap

heap-long: deps configure
	@$(NINJA) -C $(BUILD) src/heap/libpagoda-malloc.so tests/heap/heap_objects tests/heap/heap_model
	@python3 tests/heap/programs.py --long --seconds $(HEAP_SECONDS) $(BUILD)/src/heap/libpagoda-malloc.so $(BUILD)/tests/heap/heap_objects \
		sharded first-fit next-fit best-fit worst-fit

install: all
	@$(MESON) configure $(BUILD) --prefix $(PREFIX)
	@$(NINJA) -C $(BUILD)
	@$(MESON) install -C $(BUILD) --no-rebuild

format:
	@tools/format.sh

tidy: deps configure
	@tools/tidy.sh $(BUILD)

fuzz: configure
	@tools/deps.sh build fuzz
	@tools/long.sh fuzz $(BUILD) $(FUZZ_SECONDS)

insn-long: deps configure
	@$(NINJA) -C $(BUILD)
	@tools/long.sh insn $(BUILD) $(INSN_ROUNDS)

mapping-long: deps configure
	@$(NINJA) -C $(BUILD)
	@tools/long.sh mapping $(BUILD) $(MAPPING_SECONDS)

forks-long: configure
	@$(NINJA) -C $(BUILD)
	@python3 tests/programs/forks_long.py --pagoda $(BUILD)/pagoda --guests $(BUILD)/tests/guest --forks $(FORKS) --seconds $(FORKS_SECONDS)

.PHONY: servers-long
servers-long: configure
	@tools/deps.sh build test servers
	@$(NINJA) -C $(BUILD)
	@for mode in exact fast; do \
		python3 tests/programs/run.py --pagoda $(BUILD)/pagoda --guests $(BUILD)/tests/guest --group servers --mode $$mode || exit 1; \
	done

.PHONY: programs-long
programs-long: deps configure
	@$(NINJA) -C $(BUILD)
	@tools/deps.sh programs
	@python3 tests/programs/debian.py --pagoda $(BUILD)/pagoda

.PHONY: swap-long
swap-long: configure
	@$(NINJA) -C $(BUILD)
	$(BUILD)/pagoda run --memory 512M --swap zstd:8G -- $(BUILD)/tests/guest/touch4g-static $(SWAP_MIB)
	$(BUILD)/tests/scale/scan_cost 64 16384
	for mode in exact fast; do \
		python3 tests/programs/swapping.py --full $(SWAP_MATRIX) --mode $$mode --pagoda $(BUILD)/pagoda --guests $(BUILD)/tests/guest \
			--seconds $$(($(SWAP_SECONDS) / 2)) --journal $(SWAP_JOURNAL) || exit 1; \
	done

.PHONY: policy-tables
policy-tables: configure
	@$(NINJA) -C $(BUILD) pagoda tests/policy/policy_table
	@$(BUILD)/tests/policy/policy_table
	@python3 tests/policy/real.py --pagoda $(BUILD)/pagoda

clean:
	@rm -rf $(BUILD)

help:
	@sed -n '4,/^$$/s/^#   //p' Makefile
