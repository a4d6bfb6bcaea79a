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
#   make heap-long real programs with libpagoda-malloc preloaded, with large inputs
#   make install   PREFIX and DESTDIR are honoured
#   make deps      Debian packages that are missing; nothing to do when all are there
#   make format    clang-format over the tree
#   make tidy      clang-tidy over the sources
#   make fuzz      the ELF loader on random files, FUZZ_SECONDS (600) long
#   make insn-long the differential instruction tester, INSN_ROUNDS (1000000) long
#   make swap-long a guest that touches 4 GiB on 512 MiB; every program with every policy and store; scan cost to 16 GiB
#   make programs-long  a hundred programs of Debian natively and in both modes; installs some 2 GB of packages
#   make forks-long a million forks: nothing grows, FORKS (1000000), at most FORKS_SECONDS (3600) long
#   make mapping-long  random mapping calls beside Linux, MAPPING_SECONDS (1200) long

BUILD  ?= build
PREFIX ?= /usr/local
MESON  ?= meson
NINJA  ?= ninja

FUZZ_SECONDS ?= 600
INSN_ROUNDS  ?= 1000000
MAPPING_SECONDS ?= 1200
FORKS ?= 1000000
FORKS_SECONDS ?= 3600

SWAP_MIB ?= 4096

.PHONY: swap-long
swap-long: configure
	@$(NINJA) -C $(BUILD)
	$(BUILD)/pagoda run --memory 512M --swap zstd:8G -- $(BUILD)/tests/guest/touch4g-static $(SWAP_MIB)
	python3 tests/programs/swapping.py --full --pagoda $(BUILD)/pagoda --guests $(BUILD)/tests/guest
	$(BUILD)/tests/scale/scan_cost 64 16384

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
	@python3 bench/heap.py $(BUILD)

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
	@python3 tests/heap/programs.py --long $(BUILD)/src/heap/libpagoda-malloc.so $(BUILD)/tests/heap/heap_objects \
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

.PHONY: programs-long
programs-long: deps configure
	@$(NINJA) -C $(BUILD)
	@tools/deps.sh programs
	@python3 tests/programs/debian.py --pagoda $(BUILD)/pagoda

clean:
	@rm -rf $(BUILD)

help:
	@sed -n '4,/^$$/s/^#   //p' Makefile
