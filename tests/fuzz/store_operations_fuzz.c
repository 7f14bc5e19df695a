/* Bytes as what happens to a store: records, commits, syncs, acknowledgements, cleaning, losses of
 * power and starts, with the model of tests/firmware/store_rig.h beside it. */
#include "tests/firmware/store_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STEPS_MAX = 64 };

/* No more blocks than a store needs, so that it goes round soon. */
static const struct rig_geometry geometries[] = {
    {"bytes", 512, 12, 1, 256, 500, 24, false},
    {"pages", 1024, 12, 64, 256, 900, 24, false},
};

static struct rig rig;

/* The next operations of the flash: one of them is cut. */
static void plan_cut(uint8_t value, uint8_t next) {
    rig.flash.operations = 0;
    rig.flash.cut = (struct sim_flash_cut){
        .operation = 1 + value % 4,
        .model = (uint8_t)(value / 4 % SIM_FLASH_METASTABLE),
        .seed = next,
    };
    if (rig.geometry.program_bytes == 1 && rig.flash.cut.model == SIM_FLASH_DISTURB) {
        rig.flash.cut.model = SIM_FLASH_RANDOM;
    }
}

static void step(uint8_t what, uint8_t next) {
    switch (what >> 5) {
    case 0:
    case 1:
        rig_append(&rig, what % RIG_OBJECTS);
        break;
    case 2:
        if (store_rig_commit(&rig) == STATUS_FULL) {
            rig_acknowledge(&rig, true);
        }
        break;
    case 3:
        (void)!rig_poll(&rig);
        break;
    case 4:
        rig_acknowledge(&rig, true);
        break;
    case 5:
        (void)!store_clean(&rig.store);
        break;
    case 6:
        if (what % 4 == 0) {
            rig_release(&rig, 1 + next % (RIG_OBJECTS - 1));
        } else {
            rig_append(&rig, next % RIG_OBJECTS);
            store_rig_settle(&rig);
        }
        break;
    default:
        if (what % 4 == 0) {
            sim_flash_power_off(&rig.flash, next);
        } else {
            plan_cut(what & 31, next);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1) {
        return 0;
    }
    store_rig_start(&rig, &geometries[data[0] % array_count(geometries)], 1);
    rig.flash.page_bytes = rig.geometry.program_bytes;
    for (size_t i = 1; i < size && i < STEPS_MAX && rig.what == NULL; i++) {
        step(data[i], i + 1 < size ? data[i + 1] : 0);
        if (rig.flash.is_off) {
            store_rig_restart(&rig);
        }
    }
    if (rig.what == NULL) {
        rig_verify(&rig);
    }
    if (rig.what == NULL) {
        sim_flash_power_off(&rig.flash, 1);
        store_rig_restart(&rig);
    }
    if (rig.what != NULL) {
        check_failed(rig.what, __FILE__, __LINE__);
    }
    return 0;
}
