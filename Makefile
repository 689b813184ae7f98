# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
# libvmbus: plain GNU make and any C11 compiler that knows GCC's __atomic builtins. `make help` says what each target does.

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-print-directory

# ---- What you may set -------------------------------------------------------------------------------------------------------------------

BUILD ?= build
PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
MANDIR ?= $(PREFIX)/share/man
DESTDIR ?=
CROSS_COMPILE ?=
CFLAGS ?= -O2 -g
# `make WERROR=` where a newer compiler has new warnings.
WERROR ?= -Werror
# `make SANITIZE=address,undefined BUILD=build/sanitize`
SANITIZE ?=
# What the unit tests are linked with; scripts/foreign has an object of its own.
CRITERION ?= -lcriterion
# Processors for test-foreign, and patterns of programs that it leaves out.
ARCH ?= aarch64 i686 riscv64 s390x
LEAVE_OUT ?=
# Seconds for each fuzz target.
T ?= 60
# `make V=1` prints the commands.
V ?=

PROCESSORS := $(shell nproc 2>/dev/null || echo 1)
ifeq ($(origin CC),default)
CC := $(if $(CROSS_COMPILE),$(CROSS_COMPILE)gcc,cc)
endif
ifeq ($(origin AR),default)
AR := $(CROSS_COMPILE)ar
endif
NM ?= $(CROSS_COMPILE)nm

# ---- Version: from the header; stops when vmbus.map disagrees -------------------------------------------------------------------------------

VERSION := $(shell scripts/version)
ifeq ($(VERSION),)
$(error no version; see the message above)
endif
# The ABI: before 1.0 a break bumps it.
SOVERSION := 0

# ---- Flags ----------------------------------------------------------------------------------------------------------------------------------

WARNINGS := -std=c11 -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla $(WERROR)
SANITIZERS := $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer)
BASE_FLAGS = $(WARNINGS) -Iinclude $(CPPFLAGS) $(CFLAGS) $(SANITIZERS)
# The library: no C library, nothing exported but what vmbus.map lists. One set of objects serves the static and the shared library.
# LIB_FLAGS: how a variant of it differs (see "Tests").
# Debug information does not say where the tree lies: the same sources give the same bytes anywhere.
LIB_CFLAGS = $(BASE_FLAGS) -ffreestanding -fPIC -fvisibility=hidden -fdebug-prefix-map='$(CURDIR)=.' $(LIB_FLAGS)
# Harness, tests and examples are ordinary programs.
PROGRAM_CFLAGS = $(BASE_FLAGS) -D_GNU_SOURCE= -I. -Iharness -pthread $(LIB_FLAGS)
LINK = $(CC) $(CFLAGS) $(SANITIZERS) $(LDFLAGS) -pthread -o $@

say = @printf '  %-5s %s\n' $(1) $(2)
Q := $(if $(V),,@)

# ---- What there is --------------------------------------------------------------------------------------------------------------------------

include lib/sources.mk

objects = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))

LIB_OBJECTS := $(call objects,$(VMBUS_SOURCES))
STATIC := $(BUILD)/libvmbus.a
SHARED := $(BUILD)/libvmbus.so.$(VERSION)
# What pkg-config and CMake read.
FOR_OTHERS := $(patsubst %,$(BUILD)/%,vmbus.pc vmbus-config.cmake vmbus-config-version.cmake)
HARNESS_OBJECTS := $(call objects,$(wildcard harness/*.c))
HARNESS := $(BUILD)/libharness.a

# Tests: test/<area>/test_*.c with Criterion; test/threads/*.c plain; other C files beside the tests help them. Scripts, quick and slow.
TEST_SOURCES := $(wildcard test/*/test_*.c)
THREAD_SOURCES := $(wildcard test/threads/*.c)
# test/bindings: each file a program that scripts/test-bindings runs.
PAIR_SOURCES := $(wildcard test/bindings/*.c)
PAIR_PROGRAMS := $(patsubst %.c,$(BUILD)/%,$(PAIR_SOURCES))
HELPER_OBJECTS := $(call objects,$(filter-out $(TEST_SOURCES) $(THREAD_SOURCES) $(PAIR_SOURCES),$(wildcard test/*/*.c)))
HELPERS := $(BUILD)/libhelpers.a
TESTS := $(patsubst %.c,$(BUILD)/%,$(TEST_SOURCES))
THREAD_TESTS := $(patsubst %.c,$(BUILD)/%,$(THREAD_SOURCES))
# What is about the time that it takes runs alone; the longest of the others first.
QUICK_ALONE := test/scripts/demo.sh
QUICK_FIRST := test/scripts/linux.sh test/scripts/amalgamation.sh
QUICK_SCRIPTS := $(filter-out $(QUICK_ALONE) $(QUICK_FIRST),$(wildcard test/scripts/*.sh))
# Real guests take longest, and wait now and then: one after another, while the others, each on one processor, take what is left.
FULL_GUESTS := $(patsubst %,test/full/%.sh,linux qemu-host)
FULL_FIRST := $(patsubst %,test/full/%.sh,prove mutation foreign coverage loads fuzz sanitize interleave rust go model barriers ffi)
FULL_OTHERS := $(FULL_FIRST) $(filter-out $(FULL_FIRST) $(FULL_GUESTS),$(wildcard test/full/*.sh))

# Examples: a directory is a program, but for those with rules of their own.
EXAMPLE_NAMES := $(filter-out kvm-linux bare-guest,$(patsubst examples/%/,%,$(sort $(dir $(wildcard examples/*/*.c)))))
EXAMPLES := $(patsubst %,$(BUILD)/examples/%,$(EXAMPLE_NAMES))

# Fuzz targets: fuzz/<name>.c with fuzz/<name>_*.c. With fuzz/runner.c for a main they are tests that any compiler builds: they run what lies
# in fuzz/corpus/<name>.
FUZZ_NAMES := $(filter-out runner mutate,$(foreach name,$(patsubst fuzz/%.c,%,$(wildcard fuzz/*.c)),$(if $(findstring _,$(name)),,$(name))))
FUZZ_PROGRAMS := $(patsubst %,$(BUILD)/test/fuzz/%,$(FUZZ_NAMES))
REPLAYS := $(foreach name,$(FUZZ_NAMES),$(if $(wildcard fuzz/corpus/$(name)/*),$(BUILD)/test/fuzz/$(name)))

# ---- Library ----------------------------------------------------------------------------------------------------------------------------------

.PHONY: all
all: $(STATIC) $(SHARED) $(FOR_OTHERS) ## static and shared library, in build/

$(BUILD)/obj/lib/%.o: PART_CFLAGS = $(LIB_CFLAGS)
$(BUILD)/obj/%.o: PART_CFLAGS = $(PROGRAM_CFLAGS)
$(BUILD)/obj/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(PART_CFLAGS) -MMD -MP -c -o $@ $<

# Changes only when compiler or flags do; then everything is built again.
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(CC) $(LIB_CFLAGS) $(LDFLAGS)' | cmp -s - $@ || echo '$(CC) $(LIB_CFLAGS) $(LDFLAGS)' >$@

# An archive is made anew, so that no member outlives its source; appending (q), so that files of one name in two folders both get in;
# with no time or owner in it (D).
define archive
@mkdir -p $(@D)
@rm -f $@
$(call say,AR,$@)
$(Q)$(AR) qcsD $@ $(filter %.o,$^)
endef

$(STATIC): $(LIB_OBJECTS) lib/sources.mk
	$(archive)

$(HARNESS): $(HARNESS_OBJECTS) $(BUILD)/flags
	$(archive)

$(HELPERS): $(HELPER_OBJECTS) $(BUILD)/flags
	$(archive)

$(SHARED): $(LIB_OBJECTS) vmbus.map lib/sources.mk
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(LINK) -shared -Wl,-Bsymbolic-functions -Wl,-soname,libvmbus.so.$(SOVERSION) -Wl,--version-script=vmbus.map $(if $(SANITIZE),,-Wl,-z,defs) $(LIB_OBJECTS)
	@ln -sf $(@F) $(BUILD)/libvmbus.so.$(SOVERSION)
	@ln -sf libvmbus.so.$(SOVERSION) $(BUILD)/libvmbus.so

fill = sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' -e 's|@INCLUDEDIR@|$(INCLUDEDIR)|' -e 's|@VERSION@|$(VERSION)|'
$(FOR_OTHERS): $(BUILD)/%: %.in include/vmbus.h Makefile FORCE
	@mkdir -p $(@D)
	@$(fill) $< >$@

# ---- Examples and demonstrations ----------------------------------------------------------------------------------------------------------------

.PHONY: examples demo demo-linux
examples: $(EXAMPLES) ## the programs of examples/

define example
$(BUILD)/examples/$(1): $(call objects,$(wildcard examples/$(1)/*.c))
endef
$(foreach name,$(EXAMPLE_NAMES),$(eval $(call example,$(name))))

$(EXAMPLES): $(HARNESS) $(STATIC)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(LINK) $(filter %.o,$^) $(HARNESS) $(STATIC) $(LDLIBS)

# Built on all processors, unless -j says otherwise: this is the first thing that people try.
demo: ## both ends of a bus in one process: needs a compiler and make only, takes seconds
	@$(MAKE) $(if $(findstring -j,$(MAKEFLAGS)),,-j$(PROCESSORS)) $(BUILD)/examples/loopback
	@$(BUILD)/examples/loopback

# ---- examples/kvm-linux: static programs, for they run in the guest's emulated host as well; x86-64 only. Its script runs them ----------------------

KVM_DIR := $(BUILD)/kvm-linux
KVM_HOSTEND := $(patsubst %,examples/kvm-linux/%.c,hostend hostlink keep mail serve ic loss) $(wildcard examples/kvm-linux/dev_*.c examples/kvm-linux/plan*.c)
KVM_SMALL := qexit tsckhz vsock kexec
KVM_VMM := $(filter-out $(KVM_HOSTEND) $(patsubst %,examples/kvm-linux/%.c,$(KVM_SMALL)),$(wildcard examples/kvm-linux/*.c))
KVM_PROGRAMS := $(if $(SANITIZE),,$(if $(filter x86_64,$(shell uname -m)),$(patsubst %,$(KVM_DIR)/%,vmm hostend $(KVM_SMALL))))
KVM_RUN = VMB_LINUX_DIR='$(abspath $(BUILD)/linux)' examples/kvm-linux/run -b '$(abspath $(KVM_DIR))'

$(KVM_DIR)/vmm: $(call objects,$(KVM_VMM))
$(KVM_DIR)/hostend: $(call objects,$(KVM_HOSTEND)) $(STATIC)
$(patsubst %,$(KVM_DIR)/%,$(KVM_SMALL)): $(KVM_DIR)/%: $(BUILD)/obj/examples/kvm-linux/%.o
$(KVM_PROGRAMS):
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(LINK) -static $(filter %.o,$^) $(filter %.a,$^)

examples: $(KVM_PROGRAMS)

demo-linux: $(KVM_PROGRAMS) ## a stock Linux guest on the host end: drivers, disk, shutdown; under 60 s after `make deps`
	@$(KVM_RUN) demo

test-linux: $(KVM_PROGRAMS) ## the real-guest scenarios, all of them
	@$(KVM_RUN)

# ---- examples/bare-guest: a multiboot payload without a C library, on the library as it is; x86-64 only. Its script runs it --------------------------

BARE_GUEST := $(if $(KVM_PROGRAMS),$(BUILD)/bare-guest/bare-guest)
BARE_OBJECTS := $(call objects,$(wildcard examples/bare-guest/*.c)) $(BUILD)/obj/examples/bare-guest/boot.o
BARE_CFLAGS = $(BASE_FLAGS) -ffreestanding -fno-stack-protector -fno-pic -fno-pie -mno-red-zone -fcf-protection=none

$(BUILD)/obj/examples/bare-guest/%.o: PART_CFLAGS = $(BARE_CFLAGS)
$(BUILD)/obj/examples/bare-guest/%.o: examples/bare-guest/%.S $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(PART_CFLAGS) -c -o $@ $<

$(BUILD)/bare-guest/bare-guest: $(BARE_OBJECTS) $(STATIC) examples/bare-guest/link.ld
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) -nostdlib -static -Wl,--build-id=none -Wl,-z,max-page-size=4096 -Wl,-T,examples/bare-guest/link.ld -o $@ \
		$(BARE_OBJECTS) $(STATIC)

.PHONY: bare-guest test-qemu-host
bare-guest: $(BARE_GUEST) ## the guest end as a multiboot payload, in build/bare-guest
examples: $(BARE_GUEST)

test-qemu-host: $(BARE_GUEST) $(KVM_PROGRAMS) ## that payload on QEMU 10's VMBus host, which is downloaded, and on ours at every version
	@BUILD=$(BUILD) test/full/qemu-host.sh

# ---- Tests ------------------------------------------------------------------------------------------------------------------------------------

.PHONY: deps test test-full test-states test-matrix test-interleave test-linux test-mutation test-foreign sanitize check-house check-freestanding fuzz programs
deps: ## print the Debian packages that the tests need; install what is missing, as root and without NO_INSTALL=1
	@scripts/deps

# Behind CFLAGS for test code, which takes longer to compile than to run (at -O0 gcc takes an address for a use). Not for what walks schedules or
# states.
TEST_CFLAGS ?= -O0 -Wno-uninitialized
WALKING := border interleave matrix order states threads

# A library built differently for one area of tests: test/<area>/lib.flags holds the flags, for example -DVMB_CHECKED or a port of env.h.
AREAS := $(patsubst test/%/,%,$(sort $(dir $(TEST_SOURCES) $(THREAD_SOURCES))))
area_library = $(if $(wildcard test/$(1)/lib.flags),$(BUILD)/variant/$(1)/libvmbus.a,$(STATIC))
define area
$(patsubst %.c,$(BUILD)/%,$(filter test/$(1)/%,$(TEST_SOURCES) $(THREAD_SOURCES))): $(call area_library,$(1))
$(BUILD)/obj/test/$(1)/%.o: PART_CFLAGS = $(PROGRAM_CFLAGS) $(shell cat test/$(1)/lib.flags 2>/dev/null) $(if $(filter $(1),$(WALKING)),,$(TEST_CFLAGS))
endef
$(foreach name,$(AREAS),$(eval $(call area,$(name))))

$(BUILD)/variant/%/libvmbus.a: FORCE
	@$(MAKE) BUILD=$(BUILD)/variant/$* LIB_FLAGS='-iquote . $(shell cat test/$*/lib.flags)' $@

$(TESTS): TEST_LIBRARY = $(CRITERION)
$(TESTS): $(filter %.o,$(CRITERION))
$(TESTS) $(THREAD_TESTS): $(BUILD)/test/%: $(BUILD)/obj/test/%.o $(HELPERS) $(HARNESS)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(LINK) $< -Wl,--start-group $(HELPERS) $(HARNESS) $(filter %/libvmbus.a,$^) -Wl,--end-group $(TEST_LIBRARY) $(LDLIBS)

programs: $(TESTS) $(THREAD_TESTS) $(REPLAYS) $(PAIR_PROGRAMS) $(EXAMPLES) $(KVM_PROGRAMS) $(BARE_GUEST) all man ## build everything that the tests run, without running it

test: ## all tests that take up to 10 minutes together; installs what `make deps` lists if root
	@scripts/deps test
	@$(MAKE) programs
	@rm -f $(BUILD)/test.result
	@$(MAKE) $(BUILD)/test.result
	@read passed failed skipped <$(BUILD)/test.result; [ "$$failed" -eq 0 ]

# The totals of the last run of these, also of one that failed. test-full takes them over while no program has changed since.
$(BUILD)/test.result: $(TESTS) $(THREAD_TESTS) $(REPLAYS) $(EXAMPLES) $(KVM_PROGRAMS) $(STATIC) $(SHARED) $(QUICK_SCRIPTS) \
		$(QUICK_ALONE) $(QUICK_FIRST) test/counts test/run README.md
	@BUILD=$(BUILD) test/run -o $(BUILD)/alone.result $(QUICK_ALONE) || true
	@BUILD=$(BUILD) CRITERION_JOBS=1 test/run -j$(PROCESSORS) -o $@ -a $(BUILD)/alone.result $(QUICK_FIRST) $(TESTS) $(THREAD_TESTS) $(REPLAYS) \
		$(QUICK_SCRIPTS) || true

test-full: ## everything: test (unless just run), sanitizers, mutations, coverage, freestanding checks, all real-guest tests
	@scripts/deps test
	@$(MAKE) programs
	@$(MAKE) $(BUILD)/test.result
	@rm -f $(BUILD)/guests.result; export BUILD=$(BUILD) JOBS=1 CRITERION_JOBS=1; \
		test/run -o $(BUILD)/guests.result $(FULL_GUESTS) & \
		nice -n 5 test/run -j$(PROCESSORS) -o $(BUILD)/others.result $(FULL_OTHERS); wait
	@test/run -a $(BUILD)/test.result -a $(BUILD)/guests.result -a $(BUILD)/others.result

test-states: $(addprefix $(BUILD)/test/states/test_,host guest) ## every message in every state, both ends, against test/states/*.table: how many cells, and which are open
	@scripts/state-tables | diff -u doc/control-plane.md -
	@for program in $^; do echo "$$program"; $$program || exit 1; done

test-matrix: $(BUILD)/test/matrix/test_matrix ## every guest cap and set of features against every host's, each pair a whole life: how many pairs
	@$<

test-interleave: $(BUILD)/test/interleave/test_interleave ## open, close, lists, subchannels, unload, contact, reset, a save against each other in all orders: how many
	@INTERLEAVE_STATES=1000000 $<

test-mutation: ## break one rule of lib/ at a time: a named test must turn red
	@scripts/mutate $(BUILD)/mutation test/mutations/*.mut

# Built by clang, for its source coverage, and with the sanitizers, so that one build and one run are enough for both; see scripts/coverage. Without
# test/border, whose walks take minutes with counters in every branch.
.PHONY: coverage coverage-programs
COVERED := $(BUILD)/covered
COVERED_PROGRAMS := $(filter-out $(BUILD)/test/border/%,$(TESTS)) $(THREAD_TESTS) $(EXAMPLES)
coverage: ## lines and branches of lib/ that the suite reaches without the fuzzers, and which it does not reach
	@$(MAKE) BUILD=$(COVERED) CC=$(CLANG) WERROR= SANITIZE=address,undefined \
		CFLAGS='-O1 -g -fprofile-instr-generate -fcoverage-mapping -fprofile-update=atomic' coverage-programs
	@INTERLEAVE_STATES=3000 scripts/coverage $(COVERED) $(patsubst $(BUILD)/%,$(COVERED)/%,$(COVERED_PROGRAMS))
coverage-programs: $(COVERED_PROGRAMS)

# Without test/border here as well: its walks are the same ones, and a sanitizer makes them minutes longer. sanitize-rest
# leaves out what runs under them for the coverage.
SANITIZED := $(filter-out $(BUILD)/test/border/%,$(TESTS)) $(THREAD_TESTS) $(REPLAYS)
.PHONY: sanitize-rest
sanitize-rest: SANITIZED := $(REPLAYS)
sanitize-rest: sanitize
sanitized = $(patsubst $(BUILD)/%,$(BUILD)/sanitize/%,$(SANITIZED))
sanitize: ## the whole suite under address and undefined-behaviour sanitizers, the thread tests under the thread sanitizer
	@$(MAKE) BUILD=$(BUILD)/tsan SANITIZE=thread CFLAGS='-O1 -g' sanitize-threads || true
	@$(MAKE) BUILD=$(BUILD)/sanitize SANITIZE=address,undefined CFLAGS='-O1 -g' $(sanitized)
	@INTERLEAVE_STATES=3000 test/run -a $(BUILD)/tsan/result $(sanitized)

.PHONY: sanitize-threads
sanitize-threads: $(THREAD_TESTS)
	@test/run -o $(BUILD)/result $(THREAD_TESTS)

test-foreign: ## the whole suite on other processors, emulated: ARCH="aarch64 i686 riscv64 s390x"
	@scripts/foreign $(BUILD)/foreign '$(ARCH)' $(filter-out $(LEAVE_OUT),$(patsubst $(BUILD)/%,%,$(TESTS) $(THREAD_TESTS) $(REPLAYS) $(EXAMPLES)))

check-house: all ## lists that must agree, what may include what, rules for source files
	@scripts/check-house $(BUILD)

.PHONY: check-docs
check-docs: ## what of the public API is not documented, in C and in Rust: nothing; and that one that is planted is found
	@scripts/check-docs $(BUILD)/docs

.PHONY: check-abi abi-baseline
check-abi: all ## map, header and library agree; nothing that an older program would miss is gone: doc/ABI.md
	@scripts/check-abi $(BUILD)
abi-baseline: ## write abi/VERSION/ anew, which check-abi compares with, until that version is released
	@scripts/check-abi --baseline $(BUILD)

check-freestanding: ## undefined symbols, static data, stack frames, code size; the header alone: two compilers, three processors
	@scripts/check-freestanding $(BUILD)/freestanding

# ---- Bindings -----------------------------------------------------------------------------------------------------------------------------------

.PHONY: check-ffi check-rust bench-rust crates test-bindings
check-ffi: ## what bindings/ declares is what include/vmbus.h declares, by cbindgen; and changed declarations are noticed
	@scripts/check-ffi $(BUILD)/ffi

check-rust: ## the Rust crates: lints, documentation, tests on each way to link the library, packages
	@scripts/check-rust $(BUILD)/rust

bench-rust: ## what the safe crate costs a packet over the calls of C, in turns; cargo bench in bindings/rust/benches does it with criterion
	@CARGO_TARGET_DIR='$(abspath $(BUILD)/rust/target)' cargo run --quiet --locked --release --manifest-path bindings/rust/benches/Cargo.toml

$(PAIR_PROGRAMS): $(BUILD)/test/%: $(BUILD)/obj/test/%.o $(STATIC)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(LINK) $< $(STATIC) $(LDLIBS)

test-bindings: $(PAIR_PROGRAMS) ## a guest in any language with a host in any: two processes, 100000 transactions, rescind, offer, unload
	@scripts/test-bindings $(BUILD)

crates: ## the Rust crates as they are published, in build/crates: with the library in one file inside
	@scripts/crates $(BUILD)/crates

.PHONY: check-go go-amalgamation
check-go: ## the Go module: documentation, tests with the race detector and cgo's checks, another copy besides, a project elsewhere
	@scripts/check-go $(BUILD)/go

go-amalgamation: ## write the library that the Go module holds anew: after each change of lib/ or vmbus.h
	@scripts/go-amalgamation bindings/go/internal/libvmbus

# ---- Memory ordering ----------------------------------------------------------------------------------------------------------------------------

.PHONY: order model
order: $(filter $(BUILD)/test/order/%,$(TESTS)) ## all schedules of small scenarios of lib/ring in a weak memory: how many were walked
	@for program in $^; do echo "$$program"; $$program -j1 || exit 1; done

model: ## the same protocol verified by Spin
	@scripts/model $(BUILD)/model

# ---- Proof -----------------------------------------------------------------------------------------------------------------------------------------

.PHONY: prove
prove: ## no run-time errors in the parsers of lib/ for any bytes, by Frama-C; and that each proof sees a planted bug. doc/verification.md
	@scripts/prove $(BUILD)/prove

# ---- Fuzzing: clang's libFuzzer ------------------------------------------------------------------------------------------------------------------

CLANG ?= clang
# What has the main function: runner, or mutate beside libFuzzer's.
FUZZ_MAIN := runner
FUZZ_PORT := -DVMB_ENV_HEADER=\"fuzz/port.h\" -DVMB_CHECKED
FUZZ_LIBRARY := $(BUILD)/variant/fuzz/libvmbus.a

$(BUILD)/obj/fuzz/%.o: PART_CFLAGS = $(PROGRAM_CFLAGS) $(FUZZ_PORT)
$(FUZZ_LIBRARY): FORCE
	@$(MAKE) BUILD=$(BUILD)/variant/fuzz LIB_FLAGS='-iquote . $(FUZZ_PORT)' $@

define fuzz_program
$(BUILD)/test/fuzz/$(1): $(call objects,fuzz/$(1).c $(wildcard fuzz/$(1)_*.c) fuzz/$(FUZZ_MAIN).c)
endef
$(foreach name,$(FUZZ_NAMES),$(eval $(call fuzz_program,$(name))))

$(FUZZ_PROGRAMS): $(FUZZ_LIBRARY)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(LINK) $(filter %.o,$^) $(FUZZ_LIBRARY) $(LDLIBS)

.PHONY: fuzz-programs fuzzers fuzz-mutations
fuzz-programs: $(FUZZ_PROGRAMS)

fuzzers:
	@$(MAKE) BUILD=$(BUILD)/fuzz CC=$(CLANG) CFLAGS='-O1 -g' SANITIZE=fuzzer-no-link,address,undefined LDFLAGS=-fsanitize=fuzzer \
		FUZZ_MAIN=mutate fuzz-programs

# Built twice: to fuzz, and to see by source coverage what was reached.
fuzz: fuzzers ## run each fuzz target for T seconds (60), then print what was not reached
	@$(MAKE) BUILD=$(BUILD)/coverage CC=$(CLANG) CFLAGS='-O1 -g -fprofile-instr-generate -fcoverage-mapping' fuzz-programs
	@for name in $(FUZZ_NAMES); do cp $(BUILD)/coverage/test/fuzz/$$name $(BUILD)/fuzz/test/fuzz/$$name.cov; done
	@scripts/fuzz $(T) $(patsubst %,$(BUILD)/fuzz/test/fuzz/%,$(FUZZ_NAMES))

fuzz-mutations: ## break the rules of fuzz/mutations.list, one at a time: how long until a fuzzer that begins with nothing notices
	@scripts/fuzz-mutations $(BUILD)/fuzz-mutations fuzz/mutations.list test/mutations/*.mut

include bench/bench.mk

# ---- One file ------------------------------------------------------------------------------------------------------------------------------------

.PHONY: amalgamation test-amalgamation
amalgamation: ## the library as one file: build/amalgamation/vmbus.c and vmbus.h
	@scripts/amalgamate $(BUILD)/amalgamation
	@$(CC) $(LIB_CFLAGS) -I$(BUILD)/amalgamation -c -o $(BUILD)/amalgamation/vmbus.o $(BUILD)/amalgamation/vmbus.c

test-amalgamation: programs ## the whole suite with the library as one file in its place: minutes
	@JOBS=$(PROCESSORS) CRITERION_JOBS=1 scripts/one-file $(BUILD)

# ---- Installation ----------------------------------------------------------------------------------------------------------------------------------

.PHONY: man install uninstall clean help
MANUAL := $(BUILD)/man/man7/vmbus.7
man: $(MANUAL) ## the manual, from vmbus.h: build/man; man -l build/man/man7/vmbus.7

$(MANUAL): include/vmbus.h README.md CHANGELOG.md scripts/manual $(wildcard doc/man/*.c)
	@scripts/manual $(BUILD)/man

install: all man ## header, libraries, manual, what pkg-config and CMake need, to DESTDIR, PREFIX, LIBDIR, INCLUDEDIR, MANDIR
	install -d '$(DESTDIR)$(INCLUDEDIR)' '$(DESTDIR)$(LIBDIR)/pkgconfig' '$(DESTDIR)$(LIBDIR)/cmake/vmbus'
	install -m 644 include/vmbus.h '$(DESTDIR)$(INCLUDEDIR)/vmbus.h'
	install -m 644 $(STATIC) '$(DESTDIR)$(LIBDIR)/libvmbus.a'
	install -m 755 $(SHARED) '$(DESTDIR)$(LIBDIR)/libvmbus.so.$(VERSION)'
	ln -sf libvmbus.so.$(VERSION) '$(DESTDIR)$(LIBDIR)/libvmbus.so.$(SOVERSION)'
	ln -sf libvmbus.so.$(SOVERSION) '$(DESTDIR)$(LIBDIR)/libvmbus.so'
	@# Not those of build/, which another make may be filling in for other places.
	@for file in pkgconfig/vmbus.pc cmake/vmbus/vmbus-config.cmake cmake/vmbus/vmbus-config-version.cmake; do \
		$(fill) $${file##*/}.in >'$(DESTDIR)$(LIBDIR)'/$$file && chmod 644 '$(DESTDIR)$(LIBDIR)'/$$file || exit 1; done
	install -d '$(DESTDIR)$(MANDIR)/man3' '$(DESTDIR)$(MANDIR)/man7'
	install -m 644 $(MANUAL) '$(DESTDIR)$(MANDIR)/man7'
	@find $(BUILD)/man/man3 -type f -exec install -m 644 {} '$(DESTDIR)$(MANDIR)/man3' \;
	@find $(BUILD)/man/man3 -type l -exec cp -P {} '$(DESTDIR)$(MANDIR)/man3' \;

uninstall: man ## remove what install put there
	rm -f '$(DESTDIR)$(INCLUDEDIR)/vmbus.h' '$(DESTDIR)$(LIBDIR)/libvmbus.a' '$(DESTDIR)$(LIBDIR)/libvmbus.so.$(VERSION)' \
		'$(DESTDIR)$(LIBDIR)/libvmbus.so.$(SOVERSION)' '$(DESTDIR)$(LIBDIR)/libvmbus.so' '$(DESTDIR)$(LIBDIR)/pkgconfig/vmbus.pc'
	rm -rf '$(DESTDIR)$(LIBDIR)/cmake/vmbus'
	@(cd $(BUILD)/man && find man3 man7 ! -type d) | while read -r page; do rm -f '$(DESTDIR)$(MANDIR)/'"$$page"; done

.PHONY: deb
deb: ## Debian packages, in build/deb
	@scripts/deb $(BUILD)/deb

clean: ## remove build/
	rm -rf $(BUILD)

help: ## this list
	@echo 'libvmbus $(VERSION). Settings: CC CFLAGS CPPFLAGS LDFLAGS AR CROSS_COMPILE BUILD PREFIX LIBDIR INCLUDEDIR MANDIR DESTDIR WERROR'
	@awk -F ': [^#]*## |:[^#]*## ' '/^[a-z-]+:.*## / { printf "  %-20s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: FORCE
FORCE:

-include $(patsubst %.o,%.d,$(LIB_OBJECTS) $(HARNESS_OBJECTS) $(HELPER_OBJECTS) $(call objects,$(TEST_SOURCES) $(THREAD_SOURCES) $(PAIR_SOURCES)) \
	$(call objects,$(wildcard examples/*/*.c fuzz/*.c)))
