# make            build the programs into build/bin      make run     build and run the demo
# make test       build and run the tests                make check   everything else that CI runs
# make test T=x   only tests whose name contains x       make help    every target
# make V=1        shows the commands
.DEFAULT_GOAL := all

SHELL       := bash
.SHELLFLAGS := -o pipefail -c
CC  := gcc
SAN ?=
OPT := -O2 -g
Q := $(if $(V),,@)
WARN := -std=c11 -pedantic -Wall -Wextra -Werror -Wconversion -Wsign-conversion -Wshadow \
        -Wcast-qual -Wcast-align -Wundef -Wvla -Wpointer-arith -Wwrite-strings \
        -Wstrict-prototypes -Wmissing-prototypes -Wredundant-decls -Wswitch-enum \
        -Wimplicit-fallthrough -Wformat=2 -Wdouble-promotion -Wnull-dereference

# One directory of objects for each compiler and sanitizer: build/gcc, build/gcc-address, build/arm…
KIND := $(or $(findstring clang,$(CC)),$(findstring arm,$(CC)),$(findstring mips,$(CC)),gcc)
OUT  := build/$(KIND)$(addprefix -,$(SAN))
BIN  := $(if $(filter build/gcc,$(OUT)),build/bin,$(OUT)/bin)

GCC_WARN    := -Wlogical-op -Wduplicated-cond -Wduplicated-branches -Walloca -Woverride-init
# Builds that hold the tests of firmware and protocol only (tests/checks/check.mk).
CORE_ONLY   := build/mips build/coverage build/mcdc
gcc_FLAGS   := $(GCC_WARN) -fstack-protector-strong $(if $(SAN),,-fcallgraph-info=su)
clang_FLAGS := -Wmissing-variable-declarations -Winitializer-overrides -Wunreachable-code
arm_FLAGS   := $(GCC_WARN) -Os -mcpu=cortex-m4 -mthumb -ffreestanding -fcallgraph-info=su \
               -isystem tests/checks/freestanding
mips_FLAGS  := $(GCC_WARN) -static -isystem tests/checks/shim

# Sanitizers make gcc warn of paths that are not there; the plain builds judge the warnings.
address_FLAGS := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -Wno-error
fuzzer_FLAGS  := -fsanitize=fuzzer-no-link $(address_FLAGS)
export ASAN_OPTIONS  := detect_stack_use_after_return=1:strict_string_checks=1
export UBSAN_OPTIONS := print_stacktrace=1

CPPFLAGS = $(addprefix -I,$(filter $(CORE_ONLY),$(OUT))) -I. -isystem /usr/share/include/llhttp -isystem /usr/include/postgresql -D_GNU_SOURCE
CFLAGS   = $(WARN) $(OPT) $($(KIND)_FLAGS) $(if $(SAN),$($(SAN)_FLAGS))
LDFLAGS  = -Wl,--as-needed

CORE     := $(filter-out boards/%/machine.c,$(wildcard firmware/*.c protocol/*.c boards/*.c boards/*/*.c))
ARENA    := $(wildcard hal/linux/arena.c)
HAL      := $(filter-out $(ARENA) hal/baremetal/%,$(wildcard hal/*/*.c))
SHARED   := $(wildcard host/shared/*.c)
PROGRAMS := hubd hubctl upstreamd phonesim
SOURCES  := $(CORE) $(HAL) $(ARENA) $(wildcard host/*/*.c host/*/*/*.c)
LIBS     := -lmbedtls -lmbedx509 -lmbedcrypto -linih -lsqlite3 -lpq -lusb-1.0 -lserialport
TESTS    := tests/main.c $(wildcard $(foreach d,protocol firmware boards hal host,tests/$d/*.c tests/$d/*/*.c))
LLHTTP   := $(addprefix $(OUT)/llhttp/,llhttp.o api.o http.o)

obj = $(1:%.c=$(OUT)/%.o)

## Build the programs into build/bin
all: $(PROGRAMS:%=$(BIN)/%)

## Install what is missing from Debian (deps-run, deps-test: only what these goals need)
deps: deps-check
deps-run deps-test deps-check deps-board deps-rig deps-browser deps-coverage deps-bench deps-package:
	@bash scripts/deps.sh $(@:deps-%=%)

## Build and run the demo; ONCE=1 ends after the first request
run: all
	@bash scripts/demo.sh

## Run the unit tests, plain and with ASan and UBSan, then the system tests; T=text filters
test: deps-test
	@($(MAKE) all $(BIN)/unit $(BIN)/usb_bus $(BIN)/sim && $(MAKE) SAN=address unit && $(MAKE) board board-tests && $(MAKE) BOARD=mps2 board) || { echo "0 passed, 1 failed"; exit 1; }
	@bash tests/checks/sum.sh "$(BIN)/unit $(if $(T),'$(T)')" "python3 tests/system/run.py $(if $(T),'$(T)')" \
	    "& TEST_SECONDS=60 build/$(KIND)-address/bin/unit $(if $(T),'$(T)')"
unit: $(BIN)/unit

$(OUT)/libhub.a: $(call obj,$(CORE) $(HAL) $(SHARED)) $(LLHTTP) $(OUT)/dashboard_files.o
$(OUT)/libcore.a: $(call obj,$(CORE))
$(OUT)/libhub.a $(OUT)/libcore.a:
	@mkdir -p $(@D) && rm -f $@ && ar qcs $@ $^

# llhttp comes as generated C from Debian's node-llhttp; its own warnings are not ours.
$(LLHTTP): $(OUT)/llhttp/%.o: Makefile | deps-run
	@mkdir -p $(@D) && echo "CC $@"
	$(Q)$(CC) $(OPT) $(if $(SAN),-fsanitize=address) -DLLHTTP_STRICT_MODE=1 -I/usr/share/include/llhttp -c /usr/share/llhttp/$*.c -o $@

# The dashboard's files, as they are and compressed, in one object.
PAGES := $(sort $(wildcard host/dashboard/*))
$(OUT)/dashboard_files.c: scripts/embed.sh $(PAGES) | deps-run
	@mkdir -p $(@D) && bash scripts/embed.sh $(@:.c=) $(PAGES) >$@.new && mv $@.new $@
$(OUT)/dashboard_files.o: $(OUT)/dashboard_files.c
	@echo "CC $@"
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -c $< -o $@

# Below it a clock was never set. The same source gives the same program.
BUILD_TIME := $(or $(SOURCE_DATE_EPOCH),$(shell git log -1 --format=%ct 2>/dev/null))
$(OUT)/host/hubd/wall_clock.o: CPPFLAGS += $(addprefix -DHUB_BUILD_TIME=,$(BUILD_TIME))

hubd_ARENA := $(if $(SAN),,$(ARENA))
define program
$(BIN)/$(1): $$(call obj,$$(wildcard host/$(1)/*.c host/$(1)/*/*.c) $$($(1)_ARENA)) $(OUT)/libhub.a
	@mkdir -p $$(@D) && echo "LD $$@"
	$(Q)$$(CC) $$(CFLAGS) $$(LDFLAGS) $$^ $$(LIBS) -o $$@
# What a test may link of a program: all but the file that holds main.
$(OUT)/lib$(1).a: $$(call obj,$$(filter-out host/$(1)/$(1).c,$$(wildcard host/$(1)/*.c host/$(1)/*/*.c)))
	@mkdir -p $$(@D) && rm -f $$@ && ar qcs $$@ $$^
endef
$(foreach p,$(PROGRAMS),$(eval $(call program,$p)))

# Calls that go through a test first: main.c, and the MTD device of tests/hal/mtd_device.c.
WRAPPED := _cmocka_run_group_tests ioctl pread pwrite stat fstat
$(BIN)/unit: $(call obj,$(TESTS)) $(PROGRAMS:%=$(OUT)/lib%.a) $(OUT)/libhub.a
	@mkdir -p $(@D) && echo "LD $@"
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $(WRAPPED:%=-Wl,--wrap=%) $^ $(LIBS) -lcmocka -o $@

# A USB bus with emulated phones, for the system tests; libumockdev comes with GLib.
BUS := $(call obj,$(filter-out tests/usb/usb_shim.c,$(wildcard tests/usb/*.c)))
$(OUT)/tests/usb/bus_plug.o: CPPFLAGS += $(subst -I,-isystem ,$(shell pkg-config --cflags umockdev-1.0 2>/dev/null))
$(BIN)/usb_bus: $(BUS) $(OUT)/libphonesim.a $(OUT)/libhub.a | $(BIN)/usb_shim.so
	@echo "LD $@"
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LIBS) $$(pkg-config --libs umockdev-1.0) -o $@
# The same phones as QEMU's USB devices, for `make rig`.
$(BIN)/usb_redir: $(OUT)/tests/rig/usb_redir.o $(OUT)/libphonesim.a $(OUT)/libhub.a
	@echo "LD $@"
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LIBS) -lusbredirparser -o $@
$(BIN)/usb_shim.so: tests/usb/usb_shim.c tests/usb/usb_shim.h Makefile
	@mkdir -p $(@D) && echo "LD $@"
	$(Q)$(CC) $(CPPFLAGS) $(WARN) $(OPT) -fPIC -shared $< -o $@

$(OUT)/%.o: %.c Makefile | deps-run
	@mkdir -p $(@D) && echo "CC $@"
	$(Q)$(CC) $(CPPFLAGS) -MMD -MP $(CFLAGS) -c $< -o $@

$(call obj,host/shared/openapi.c): docs/openapi.json

## Delete everything that was built
clean:
	rm -rf build

## List the targets
help:
	@awk '/^## / { text = substr($$0, 4) } /^[a-z]+:/ && text { sub(/:.*/, ""); \
	    printf "%-10s%s\n", $$0, text; text = "" }' Makefile tests/checks/check.mk tests/checks/bench.mk tests/checks/campaign.mk tests/checks/rig.mk tests/checks/package.mk \
	    tests/checks/coverage.mk tests/checks/browser.mk boards/board.mk

ifeq ($(MAKELEVEL),0)
MAKEFLAGS := $(MAKEFLAGS) --no-print-directory -s $(if $(findstring j,$(firstword -$(MAKEFLAGS))),,-j$(shell nproc))
endif
.PHONY: all deps deps-run deps-test deps-check deps-board deps-rig deps-browser deps-coverage deps-bench run test unit clean help
include tests/checks/check.mk
include tests/checks/bench.mk
include tests/checks/campaign.mk
include tests/checks/sim.mk
include tests/checks/rig.mk
include tests/checks/package.mk
include tests/checks/coverage.mk
include tests/checks/browser.mk
include boards/board.mk
-include $(shell test -d $(OUT) && find $(OUT) -name '*.d')
