# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
# The benchmarks: part of the Makefile. Always gcc -O2, whatever CFLAGS say: figures are compared with each other, and with those of before.

BENCH := $(BUILD)/bench
BENCH_CC := $(CROSS_COMPILE)gcc
BENCH_FLAGS := $(WARNINGS) -O2 -g -D_GNU_SOURCE= -Iinclude -fPIC -pthread
BENCH_CONTENDERS := $(patsubst %,$(BENCH)/%.so,shared static lto one channel bare memcpy $(if $(filter x86_64,$(shell uname -m)),dpdk))
BENCH_HEADERS := $(wildcard bench/*.h) include/vmbus.h
BENCH_LIBRARY := $(BENCH)/library
BENCH_LINK = @mkdir -p $(@D); $(if $(V),,echo '  LINK  $@';)
PASSES ?= 25

# All that is said at the end goes to a file, too.
bench_run = $(BENCH)/bench $(1) -j $(BENCH)/figures.json -g bench/goals.tsv $(BENCH_CONTENDERS) >$(BENCH)/log; status=$$?; cat $(BENCH)/log; exit $$status

.PHONY: bench bench-full bench-plots bench-control bench-count bench-programs bench-library
bench-programs: $(BENCH)/bench $(BENCH_CONTENDERS)

# The library as users have it: its own flags, but for -O2 and the compiler.
bench-library:
	@$(MAKE) BUILD=$(BENCH_LIBRARY) CC=$(BENCH_CC) CFLAGS='-O2 -g' SANITIZE= all amalgamation

$(BENCH)/bench: $(wildcard bench/*.c) $(BENCH_HEADERS)
	$(BENCH_LINK)
	$(Q)$(BENCH_CC) $(BENCH_FLAGS) -o $@ bench/main.c bench/measure.c bench/report.c -ldl -lm

BENCH_SO = $(BENCH_CC) $(BENCH_FLAGS) -shared -fvisibility=hidden -DBENCH_NAME='"vmbus-$(basename $(@F))"' -o $@

$(BENCH)/shared.so: bench/contender_vmbus.c $(BENCH_HEADERS) bench-library
	$(BENCH_LINK)
	$(Q)$(BENCH_SO) $< -L$(BENCH_LIBRARY) -lvmbus -Wl,-rpath,$(abspath $(BENCH_LIBRARY))

$(BENCH)/channel.so: bench/contender_channel.c $(BENCH_HEADERS) bench-library
	$(BENCH_LINK)
	$(Q)$(BENCH_SO) $< -L$(BENCH_LIBRARY) -lvmbus -Wl,-rpath,$(abspath $(BENCH_LIBRARY))

$(BENCH)/static.so: bench/contender_vmbus.c $(BENCH_HEADERS) bench-library
	$(BENCH_LINK)
	$(Q)$(BENCH_SO) $< $(BENCH_LIBRARY)/libvmbus.a -Wl,--exclude-libs,ALL

$(BENCH)/lto.so: bench/contender_vmbus.c $(BENCH_HEADERS) bench-library
	$(BENCH_LINK)
	$(Q)$(BENCH_SO) -flto=auto $< $(VMBUS_SOURCES) -Wl,--version-script=bench/one.map

$(BENCH)/one.so: bench/contender_vmbus.c $(BENCH_HEADERS) bench-library
	$(BENCH_LINK)
	$(Q)$(BENCH_SO) $< $(BENCH_LIBRARY)/amalgamation/vmbus.c -Wl,--version-script=bench/one.map

$(BENCH)/bare.so $(BENCH)/memcpy.so: $(BENCH)/%.so: bench/contender_%.c $(BENCH_HEADERS)
	$(BENCH_LINK)
	$(Q)$(BENCH_SO) $<

$(BENCH)/dpdk/channel.o:
	@bench/fetch-dpdk $(BENCH)/dpdk

$(BENCH)/dpdk.so: bench/contender_dpdk.c $(BENCH_HEADERS) $(BENCH)/dpdk/channel.o
	$(BENCH_LINK)
	$(Q)$(BENCH_SO) $< $(BENCH)/dpdk/bufring.o $(BENCH)/dpdk/channel.o

bench: bench-programs ## speed: what bench/goals.tsv is about, against other rings, some minutes on a machine with nothing else to do
	@$(call bench_run,-p $(PASSES))

bench-full: bench-programs ## speed: all payloads, rings and kinds of memory
	@$(call bench_run,-f -p $(PASSES))

bench-plots: ## the plots and tables of doc/performance.md, of what bench-full has measured; needs python3-matplotlib
	@bench/plots $(BENCH) doc/performance.md

bench-control: ## speed: connect, offers, opening, closing, events with 10, 100, 2000 channels, in nanoseconds
	@BUILD=$(BUILD) test/full/scale.sh -t

bench-count: bench-programs ## instructions per packet, counted by callgrind
	@bench/instructions -l bench/instructions.tsv $(BENCH)/bench $(BENCH)
