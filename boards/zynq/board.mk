# Xilinx Zynq-7000, as QEMU's xilinx-zynq-a9 has it: one Cortex-A9, parallel NOR.
zynq_CPU    := -mcpu=cortex-a9 -marm -mfloat-abi=soft -mno-unaligned-access
zynq_HAL    := memory uart_cadence clock_a9 chip chip_cfi
# Its chip has 64 MiB; the file is a chip as it leaves the factory, all ones, when there is none yet.
zynq_FLASH_MIB := 64
zynq_QEMU    = qemu-system-arm -M xilinx-zynq-a9 -m 128M -display none -monitor none \
               -drive if=pflash,format=raw,file=$(FLASH) -kernel build/zynq/hub.elf
