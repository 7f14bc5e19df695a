# The image of a board without an operating system: `make board BOARD=zynq` builds
# build/zynq/hub.elf, `make qemu` runs it with its flash in a file and its console here.
BOARD := zynq
FLASH := build/$(BOARD)/flash.img
include $(wildcard boards/*/board.mk)

$(BOARD)_FLAGS := $(filter-out -Wswitch-default,$(GCC_WARN)) -Os $($(BOARD)_CPU) -ffreestanding -fcallgraph-info=su \
                  -ffunction-sections -fdata-sections -fno-tree-loop-distribute-patterns \
                  -isystem tests/checks/freestanding
IMAGE := $(CORE) boards/$(BOARD)/machine.c $(wildcard image/*.c) $($(BOARD)_HAL:%=hal/baremetal/%.c)

## Build the bare-metal image of BOARD=zynq (or mps2); print what its parts take
board: deps-board
	@$(MAKE) CC=arm-none-eabi-gcc KIND=$(BOARD) SAN= build/$(BOARD)/hub.elf
	@arm-none-eabi-size $$(find build/$(BOARD) -name '*.o') | awk -v BOARD=$(BOARD) -f tests/checks/board_size.awk
	@arm-none-eabi-size -G build/$(BOARD)/hub.elf | awk 'NR == 2 { printf "note: $(BOARD): linked: code and constants %d, first values %d, zeroed %d bytes\n", $$1, $$2, $$3 }'
	@$(STACK) -v WHAT='the image of $(BOARD)' -v FRAME=1024 -v CHAIN=12288 -v POINTER=2048 -v FATAL=check_failed $(IMAGE:%.c=build/$(BOARD)/%.ci)

ifeq ($(KIND),$(BOARD))
build/$(BOARD)/%.o: %.S
	@mkdir -p $(@D) && echo "AS $@"
	@$(CC) $($(BOARD)_CPU) -c $< -o $@
build/$(BOARD)/hub.elf: $(call obj,$(IMAGE)) build/$(BOARD)/boards/$(BOARD)/start.o boards/$(BOARD)/memory.ld
	@echo "LD $@"
	@$(CC) $($(BOARD)_CPU) -nostdlib -Wl,--gc-sections -T boards/$(BOARD)/memory.ld \
	    $(filter %.o,$^) -lgcc -o $@
endif

# Tests that run on the board itself: with the C library that comes with the compiler, whose output
# leaves by semihosting. One directory of objects, since the flags are others.
$(BOARD)-tests_FLAGS := $(GCC_WARN) -Os $($(BOARD)_CPU) --specs=rdimon.specs -Wno-format -isystem tests/checks/shim
BOARD_STORE := $(wildcard tests/firmware/store_*.c) $(wildcard hal/sim/sim_flash*.c)
BOARD_UNIT  := tests/board/unit_main.c $(BOARD_STORE) tests/checks/shim/cmocka.c tests/hal/flash_contract.c \
               tests/hal/sim_flash_test.c $(addprefix tests/protocol/,serial_frame_test.c crc32c_test.c sha256_test.c record_test.c) \
               $(filter-out %/memory.c,$($(BOARD)_HAL:%=hal/baremetal/%.c)) boards/$(BOARD)/machine.c
BOARD_SIM   := tests/board/sim_main.c $(filter-out tests/sim/main.c,$(SIM_SOURCES)) $(wildcard hal/sim/*.c)

## Build the tests that run on BOARD itself
board-tests: deps-board
	@$(MAKE) CC=arm-none-eabi-gcc KIND=$(BOARD)-tests SAN= build/$(BOARD)-tests/unit.elf build/$(BOARD)-tests/sim.elf
ifeq ($(KIND),$(BOARD)-tests)
build/$(BOARD)-tests/unit.elf: $(call obj,$(BOARD_UNIT))
build/$(BOARD)-tests/sim.elf: $(call obj,$(BOARD_SIM))
build/$(BOARD)-tests/%.elf: $(OUT)/libcore.a
	@echo "LD $@"
	@$(CC) $($(BOARD)_CPU) --specs=rdimon.specs -Wl,--wrap=_cmocka_run_group_tests $(filter %.o,$^) $(OUT)/libcore.a -o $@
endif

## Run the image of BOARD in QEMU: the console is here, the line a Unix socket beside the flash
qemu: board
	@test -e $(FLASH) || head -c $($(BOARD)_FLASH_MIB)M /dev/zero | tr '\0' '\377' >$(FLASH)
	@$($(BOARD)_QEMU) -serial mon:stdio -serial unix:$(FLASH).line,server=on,wait=off
.PHONY: board board-tests qemu
