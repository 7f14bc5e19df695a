#include "hal/baremetal/chip.h"

struct chip *chip_of(struct hal_flash *flash) {
    return (struct chip *)(void *)flash;
}

enum status chip_sync_start(struct hal_flash *flash) {
    chip_of(flash)->is_syncing = true;
    return STATUS_OK;
}

enum status chip_sync_poll(struct hal_flash *flash) {
    struct chip *part = chip_of(flash);
    bool has_ended = part->is_syncing;
    part->is_syncing = false;
    return has_ended ? STATUS_OK : STATUS_AGAIN;
}
