# The checks of `make check`, one target each: `make check-layers` runs one. step.sh prints
# `ok NAME` or `FAILED NAME`; what a check was told is in build/checks/NAME.log.

CHECKS := gcc clang walk layers symbols no-malloc stack arm arm-symbols arm-stack mips \
          tidy cppcheck analyzer board format fuzz coverage campaign sim rig browser
STEP = @bash tests/checks/step.sh $(@:check-%=%)

## Run every check but the tests: compilers, layers, symbols, stack, targets, analysis, fuzzing
check: deps-check
	@rm -rf build/checks && mkdir -p build/checks
	@-$(MAKE) -k $(CHECKS:%=check-%) 2>build/checks/make.log
	@bash tests/checks/total.sh $(CHECKS)

# Both compilers, all sources and tests, with the whole warning list. (`make test` links them.)
objects: $(call obj,$(SOURCES) $(TESTS) $(SIM_SOURCES))
check-gcc:
	$(STEP) $(MAKE) objects
check-clang:
	$(STEP) $(MAKE) CC=clang objects

check-layers: check-gcc
	$(STEP) awk -f tests/checks/layers.awk $(patsubst %.c,build/gcc/%.d,$(SOURCES)) \
	    $(wildcard firmware/*.[ch] protocol/*.[ch])

# Ten million random events on the core, every rule checked on the way.
check-walk:
	$(STEP) bash -c '$(MAKE) unit && HUB_SEEDS=100 TEST_SECONDS=600 $(BIN)/unit firmware/hub_random'

# The core calls these and nothing else: no malloc, no stdio, no operating system.
CORE_CALLS := memcpy memmove memset memcmp check_failed
# (gcc -O2 makes strlen of a loop that looks like it; on Arm nothing but the list would compile.)
check-symbols: check-gcc
	$(STEP) bash tests/checks/symbols.sh only '$(CORE_CALLS) strlen __stack_chk_fail _GLOBAL_OFFSET_TABLE_' \
	    nm $(CORE:%.c=build/gcc/%.o)
check-arm-symbols: check-arm
	$(STEP) bash tests/checks/symbols.sh only '$(CORE_CALLS) __aeabi_[a-z0-9]+' \
	    arm-none-eabi-nm $(CORE:%.c=build/arm/%.o)

# Ours never allocates, and calls nothing of libc that allocates for it. arena.c is the arena.
MALLOCS := malloc calloc realloc reallocarray free aligned_alloc posix_memalign memalign valloc s?brk \
  (__)?strn?dup (__)?v?asprintf(_chk)? getline (__)?getdelim f(re|d|mem)?open(64)? open_memstream popen \
  tmpfile(64)? (fd)?opendir scandir(64)? n?ftw(64)? glob(64)? wordexp regcomp getaddrinfo gethostby.* \
  get(pw|gr).* getifaddrs qsort(_r)? setenv putenv setlocale localtime(_r)? mktime syslog dlopen pthread_create
check-no-malloc: check-gcc
	$(STEP) bash tests/checks/symbols.sh never '$(MALLOCS)' nm \
	    $(patsubst %.c,build/gcc/%.o,$(filter-out $(ARENA),$(SOURCES)))

# Bounded stack. On a Cortex-M4 board the core gets 4 KiB of stack and no frame over 512 bytes; a
# host has 8 MiB, so 16 KiB a chain and 1 KiB a frame there only catch what runs away, pointers
# being twice as wide and -O2 merging frames. The rest of the programs: no recursion, 64 KiB frames.
STACK := awk -f tests/checks/stack.awk
check-arm-stack: check-arm
	$(STEP) $(STACK) -v WHAT='core on the Cortex-M4' -v FRAME=512 -v CHAIN=4096 -v POINTER=512 \
	    $(CORE:%.c=build/arm/%.ci)
check-stack: check-gcc
	$(STEP) bash -c "$(STACK) -v WHAT=core -v FRAME=1024 -v CHAIN=16384 -v POINTER=1024 \
	    $(CORE:%.c=build/gcc/%.ci) && \
	    $(foreach p,$(PROGRAMS),$(STACK) -v WHAT=$p -v FRAME=65536 -v CHAIN=262144 -v POINTER=4096 \
	    $(patsubst %.c,build/gcc/%.ci,$(CORE) $(HAL) $(SHARED) $(wildcard host/$p/*.c host/$p/*/*.c)) &&) true"

# The core for a Cortex-M4 without an operating system or a C library.
core: $(OUT)/libcore.a
	@arm-none-eabi-size -t $< | awk 'END { print "note: the core on a Cortex-M4: text " $$1 ", data " $$2 ", bss " $$3 }'
check-arm:
	$(STEP) $(MAKE) CC=arm-none-eabi-gcc core

# The tests of firmware and protocol alone, with a small stand-in for cmocka; on a big-endian machine.
CORE_TESTS := $(filter tests/main.c tests/firmware/% tests/protocol/%,$(TESTS))
mips: build/mips/bin/core
	@TEST_SECONDS=120 qemu-mips $< $(if $(T),'$(T)') | tee build/mips/tests.log
	@awk 'END { print "note: " $$0; exit !($$1 > 0 && $$3 == 0) }' build/mips/tests.log
# Where coverage is measured the fork's tests come along: the core against upstream's real judge.
MEASURED := $(filter build/coverage build/mcdc,$(OUT))
$(OUT)/bin/core: $(call obj,$(CORE_TESTS) $(if $(MEASURED),$(wildcard tests/host/fork_*.c)) tests/checks/shim/cmocka.c \
                 $(CORE) $(wildcard hal/sim/sim_flash*.c) host/shared/check.c) $(if $(MEASURED),$(OUT)/libupstreamd.a $(OUT)/libhub.a)
	@mkdir -p $(@D) && echo "LD $@"
	@$(CC) $(CFLAGS) -Wl,--wrap=_cmocka_run_group_tests $^ $(if $(MEASURED),$(LIBS)) -o $@
$(call obj,$(CORE_TESTS)): $(filter $(CORE_ONLY:%=%/%),$(OUT)/tests/suites.def)
$(CORE_ONLY:%=%/tests/suites.def): tests/suites.def
	@mkdir -p $(@D) && awk '/^SUITE\((firmware|protocol$(if $(MEASURED),|host_fork))/' $< >$@
check-mips:
	$(STEP) $(MAKE) CC=mips-linux-gnu-gcc mips

# What includes mbed TLS, against the next Debian's; not among CHECKS, since it needs a mirror.
check-mbedtls3:
	$(STEP) bash tests/checks/mbedtls3.sh $(shell grep -lr --include=*.c 'mbedtls_\|MBEDTLS_' hal/linux host tests/bench | sort)

# Static analysis of our own sources, one stamp a file: only what changed is looked at again.
ANALYZED := $(CPPFLAGS) -std=c11
build/gcc/%.tidy: build/gcc/%.o .clang-tidy
	@clang-tidy --quiet $*.c -- $(ANALYZED) 2>&1 | sed '/warnings* generated/d' && touch $@
build/gcc/%.analyzed: build/gcc/%.o
	@gcc $(ANALYZED) -O2 -Werror -fanalyzer -c $*.c -o /dev/null && touch $@
check-tidy: check-gcc
	$(STEP) $(MAKE) $(SOURCES:%.c=build/gcc/%.tidy)
# gcc takes arena.c's own malloc for libc's and sees leaks in it; its tests run under ASan as heap.c.
check-analyzer: check-gcc
	$(STEP) $(MAKE) $(patsubst %.c,build/gcc/%.analyzed,$(filter-out $(ARENA),$(SOURCES)))
check-cppcheck:
	@mkdir -p build/cppcheck
	$(STEP) cppcheck --quiet --std=c11 --enable=warning,style,performance,portability --inline-suppr \
	    --error-exitcode=1 --suppress=missingIncludeSystem --cppcheck-build-dir=build/cppcheck $(CPPFLAGS) $(SOURCES)
# The image of both boards, and the same analysis of what only they have. Registers are numbers.
BOARD_ONLY := $(wildcard image/*.c hal/baremetal/*.c boards/*/machine.c)
check-board:
	$(STEP) bash -o pipefail -c "($(MAKE) board && $(MAKE) BOARD=mps2 board) | tee build/board.txt && \
	    awk -f tests/checks/board_page.awk docs/porting.md build/board.txt && \
	    awk -f tests/checks/layers.awk build/{zynq,mps2}/{image,hal/baremetal}/*.d && \
	    clang-tidy --quiet --checks=-performance-no-int-to-ptr $(BOARD_ONLY) -- -I. -isystem tests/checks/freestanding -std=c11 2>/dev/null && \
	    cppcheck --quiet --std=c11 --enable=warning,style,performance,portability --inline-suppr --error-exitcode=1 \
	    --suppress=missingIncludeSystem -I. $(BOARD_ONLY)"
check-format:
	$(STEP) bash -c "find firmware protocol hal host boards image tests -name '*.[ch]' | xargs clang-format --dry-run -Werror"

## Fuzz every tests/fuzz/*_fuzz.c for SECONDS=10 each; F=cbor fuzzes one
SECONDS := 10
FUZZERS := $(patsubst tests/fuzz/%_fuzz.c,%,$(wildcard tests/fuzz/$(or $(F),*)_fuzz.c))
fuzz:
	$(if $(FUZZERS),@$(MAKE) CC=clang SAN=fuzzer $(FUZZERS:%=fuzz-%))
fuzz-%: $(OUT)/bin/%_fuzz
	@mkdir -p build/fuzz/$*
	@$< -max_total_time=$(SECONDS) $(FUZZ_$*) -timeout=10 -rss_limit_mb=1024 -artifact_prefix=build/fuzz/$*- -print_final_stats=1 \
	    build/fuzz/$* $(wildcard tests/fuzz/corpus/$*) >build/fuzz/$*.log 2>&1 || { tail -n 50 build/fuzz/$*.log; exit 1; }
	@awk '/number_of_executed_units/ { print "note: $*: " $$2 " inputs in $(SECONDS) s" }' build/fuzz/$*.log
.SECONDARY: $(FUZZERS:%=$(OUT)/bin/%_fuzz) $(FUZZERS:%=$(OUT)/tests/fuzz/%_fuzz.o)
$(OUT)/bin/%_fuzz: $(OUT)/tests/fuzz/%_fuzz.o $(OUT)/libhub.a
	@mkdir -p $(@D) && echo "LD $@"
	@$(CC) $(CFLAGS) $(LDFLAGS) -fsanitize=fuzzer $(filter %.o,$^) $(filter %.a,$^) $(LIBS) -o $@
$(OUT)/bin/store_operations_fuzz: $(OUT)/tests/firmware/store_rig.o
$(OUT)/bin/capability_fuzz: $(call obj,host/shared/capability_file.c host/shared/action.c)
# The model is not what is looked at: without sanitizers and coverage it is four times as fast.
$(if $(filter fuzzer,$(SAN)),$(call obj,$(wildcard hal/sim/*.c tests/sim/*.c) tests/firmware/store_rig.c)): fuzzer_FLAGS :=
check-fuzz:
	$(STEP) bash -c 'bash tests/checks/fuzzers.sh && $(MAKE) fuzz SECONDS=5'

## Run the system tests with programs built with ASan and UBSan, slowly; T=text filters
sanitized: deps-test
	@$(MAKE) all $(BIN)/usb_bus && $(MAKE) SAN=address all
	@ln -sf ../../bin/usb_bus ../../bin/usb_shim.so build/$(KIND)-address/bin
	@HUB_BIN=$(CURDIR)/build/$(KIND)-address/bin HUB_SLOW=4 python3 tests/system/run.py $(if $(T),'$(T)')

## Plant one violation of each rule in a copy of the tree and see it caught; T=text plants some
planted: deps-check
	@bash tests/checks/planted.sh $(if $(T),'$(T)')

.PHONY: check objects core mips fuzz planted check-mbedtls3 $(CHECKS:%=check-%)
