@ start.S - from reset to main(): one core, no MMU, no caches; everything else sleeps.
    .syntax unified
    .arm
    .section .start, "ax"
    .global _start
_start:
    b       reset
    b       fault               @ undefined instruction
    b       fault               @ supervisor call
    b       fault               @ prefetch abort
    b       fault               @ data abort
    b       fault
    b       fault               @ interrupt: never enabled, only waited for
    b       fault
reset:
    mrc     p15, 0, r0, c0, c0, 5
    ands    r0, r0, #3
    bne     sleep
    cpsid   aif, #0x13
    ldr     r0, =_start         @ the table above is the vectors
    mcr     p15, 0, r0, c12, c0, 0
    ldr     sp, =stack_top
    ldr     r0, =stack_bottom   @ paint the stack, to see later how deep it went
    ldr     r1, =0x5ac3a55a
paint:
    cmp     r0, sp
    strlo   r1, [r0], #4
    blo     paint
    ldr     r0, =bss_start
    ldr     r1, =bss_end
    mov     r2, #0
clear:
    cmp     r0, r1
    strlo   r2, [r0], #4
    blo     clear
    mov     r4, #0
    bl      main
sleep:
    wfi
    b       sleep
fault:
    ldr     sp, =stack_top
    mov     r0, lr
    bl      board_fault
    b       sleep
