@ start.S - vectors of a Cortex-M, and from reset to main().
    .syntax unified
    .thumb
    .section .start, "a"
    .global _start, reset
_start:
    .word   stack_top
    .word   reset
    .word   fault               @ NMI
    .word   fault               @ hard fault
    .word   fault
    .word   fault
    .word   fault
    .word   0, 0, 0, 0
    .word   fault               @ SVC
    .word   fault
    .word   0
    .word   fault               @ PendSV
    .word   clock_tick          @ SysTick
    .rept   32
    .word   nothing
    .endr

    .text
    .thumb_func
reset:
    ldr     r0, =stack_bottom   @ paint the stack, to see later how deep it went
    mov     r2, sp
    ldr     r1, =0x5ac3a55a
paint:
    cmp     r0, r2
    bhs     painted
    str     r1, [r0], #4
    b       paint
painted:
    ldr     r0, =bss_start
    ldr     r1, =bss_end
    movs    r2, #0
clear:
    cmp     r0, r1
    bhs     cleared
    str     r2, [r0], #4
    b       clear
cleared:
    bl      main
sleep:
    wfi
    b       sleep
    .thumb_func
fault:
    ldr     r0, [sp, #24]       @ where it happened
    bl      board_fault
    b       sleep
    .thumb_func
nothing:
    bx      lr
