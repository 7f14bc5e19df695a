# Arm MPS2 with a Cortex-M4, as QEMU's mps2-an386 has it; no flash.
mps2_CPU  := -mcpu=cortex-m4 -mthumb -mfloat-abi=soft
mps2_HAL  := memory uart_cmsdk clock_systick chip chip_ram
mps2_QEMU  = qemu-system-arm -M mps2-an386 -display none -monitor none -kernel build/mps2/hub.elf
