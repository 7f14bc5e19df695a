/* flash_contract.h - what every implementation of hal/flash.h keeps, as tests.
 *
 * A test file lists FLASH_CONTRACT_TESTS(setup, teardown) in its group; setup points *state at a
 * struct flash_contract whose device is open, erased and good. */
#ifndef TESTS_HAL_FLASH_CONTRACT_H
#define TESTS_HAL_FLASH_CONTRACT_H

#include "hal/flash.h"

/* The device of a contract has at least 4 blocks of at least 4 program units. */
enum { FLASH_CONTRACT_UNIT_MAX = 4096, FLASH_CONTRACT_BLOCK_MAX = 131072 };

struct flash_contract {
    struct hal_flash *flash;
    bool erases; /* an erased block reads as 0xff; else it may keep old bytes */
    enum status (*reopen)(
        void); /* closes the device, as the end of a process would, and opens it */
};

void flash_contract_geometry(void **state);
void flash_contract_read_back(void **state);
void flash_contract_read_anywhere(void **state);
void flash_contract_neighbours(void **state);
void flash_contract_erase(void **state);
void flash_contract_program_again(void **state);
void flash_contract_sync(void **state);
void flash_contract_sync_idle(void **state);
void flash_contract_reopen(void **state);

#define FLASH_CONTRACT_TEST(sentence, test, setup, teardown)                                       \
    { sentence, test, setup, teardown, NULL }

#define FLASH_CONTRACT_TESTS(setup, teardown)                                                      \
    FLASH_CONTRACT_TEST("contract_has_blocks_of_whole_units", flash_contract_geometry, setup,      \
                        teardown),                                                                 \
        FLASH_CONTRACT_TEST("contract_reads_back_what_was_programmed_at_either_end",               \
                            flash_contract_read_back, setup, teardown),                            \
        FLASH_CONTRACT_TEST("contract_reads_any_size_at_any_place", flash_contract_read_anywhere,  \
                            setup, teardown),                                                      \
        FLASH_CONTRACT_TEST("contract_programs_nothing_beside_a_unit", flash_contract_neighbours,  \
                            setup, teardown),                                                      \
        FLASH_CONTRACT_TEST("contract_erases_one_block_only", flash_contract_erase, setup,         \
                            teardown),                                                             \
        FLASH_CONTRACT_TEST("contract_takes_new_bytes_after_an_erase",                             \
                            flash_contract_program_again, setup, teardown),                        \
        FLASH_CONTRACT_TEST("contract_ends_each_sync_once", flash_contract_sync, setup, teardown), \
        FLASH_CONTRACT_TEST("contract_has_no_sync_to_end_that_was_not_started",                    \
                            flash_contract_sync_idle, setup, teardown),                            \
        FLASH_CONTRACT_TEST("contract_keeps_what_was_synced_after_it_is_opened_again",             \
                            flash_contract_reopen, setup, teardown)

#endif
