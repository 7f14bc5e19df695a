# make            build the programs into build/bin      make run     build and run the demo
# make test       build and run the tests                make check   all static checks
# make test T=x   only tests whose name contains x       make help    every target
.DEFAULT_GOAL := all

CC  := gcc
SAN ?=
OPT := -O2 -g
WARN := -std=c11 -pedantic -Wall -Wextra -Werror -Wconversion -Wsign-conversion -Wshadow \
        -Wcast-qual -Wcast-align -Wundef -Wvla -Wpointer-arith -Wwrite-strings \
        -Wstrict-prototypes -Wmissing-prototypes -Wredundant-decls -Wswitch-enum \
        -Wimplicit-fallthrough -Wformat=2 -Wdouble-promotion -Wnull-dereference
gcc_WARN   := -Wlogical-op -Wduplicated-cond -Wduplicated-branches -Walloca -Woverride-init
clang_WARN := -Wmissing-variable-declarations -Winitializer-overrides -Wunreachable-code

KIND := $(if $(findstring clang,$(CC)),clang,gcc)
OUT  := build/$(KIND)$(addprefix -,$(SAN))
BIN  := $(if $(SAN),$(OUT)/bin,build/bin)

CPPFLAGS += -I. -D_GNU_SOURCE -MMD -MP
CFLAGS   += $(OPT) $(WARN) $($(KIND)_WARN) -fstack-protector-strong
LDFLAGS  += -Wl,--as-needed
ifneq ($(SAN),)
CFLAGS   += -fsanitize=$(SAN),undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
endif

CORE     := $(wildcard firmware/*.c protocol/*.c boards/*/*.c)
HAL      := $(filter-out hal/linux/arena.c,$(wildcard hal/linux/*.c))
SHARED   := $(wildcard host/shared/*.c)
PROGRAMS := hubd hubctl upstreamd phonesim
LIBS     := -lmbedtls -lmbedx509 -lmbedcrypto -linih -lsqlite3
ARENA    := $(if $(SAN),,hal/linux/arena.c)
TESTS    := $(wildcard tests/*.c tests/protocol/*_test.c tests/firmware/*_test.c tests/hal/*_test.c tests/host/*_test.c)

obj = $(1:%.c=$(OUT)/%.o)

all: $(PROGRAMS:%=$(BIN)/%)

$(OUT)/libhub.a: $(call obj,$(CORE) $(HAL) $(SHARED)) $(OUT)/llhttp.o
	@rm -f $@ && ar rcs $@ $^

# llhttp comes as generated C from Debian's node-llhttp; its own warnings are not ours.
$(OUT)/llhttp.o: /usr/share/llhttp/llhttp.c /usr/share/llhttp/api.c /usr/share/llhttp/http.c
	@mkdir -p $(@D)
	@$(foreach s,llhttp api http,$(CC) $(OPT) $(if $(SAN),-fsanitize=$(SAN)) -I/usr/share/include/llhttp -c /usr/share/llhttp/$(s).c -o $(OUT)/llhttp_$(s).o &&) \
	  ld -r -o $@ $(OUT)/llhttp_llhttp.o $(OUT)/llhttp_api.o $(OUT)/llhttp_http.o

define program
$(BIN)/$(1): $$(call obj,$$(wildcard host/$(1)/*.c) $(if $(filter hubd,$(1)),$(ARENA))) $(OUT)/libhub.a
	@mkdir -p $$(@D) && echo "LD $$@"
	@$$(CC) $$(CFLAGS) $$(LDFLAGS) $$^ $$(LIBS) -o $$@
endef
$(foreach p,$(PROGRAMS),$(eval $(call program,$(p))))

$(BIN)/unit: $(call obj,$(TESTS)) $(OUT)/libhub.a
	@mkdir -p $(@D) && echo "LD $@"
	@$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LIBS) -lcmocka -o $@

$(OUT)/%.o: %.c Makefile
	@mkdir -p $(@D) && echo "CC $@"
	@$(CC) $(CPPFLAGS) $(CFLAGS) -c $< -o $@

clean:
	rm -rf build

.PHONY: all clean
-include $(shell test -d $(OUT) && find $(OUT) -name '*.d')
