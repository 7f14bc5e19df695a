#include "host/phonesim/phone_bootloader.h"

#include "host/phonesim/phone_partition.h"
#include "protocol/text.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { NAME_BYTES = 48, VALUE_BYTES = 128, SLOW_MS = 2000, LINE_BYTES = 256 };

void phone_bootloader_init(struct phone_bootloader *bootloader,
                           const struct phone_bootloader_options *options,
                           const struct phone_faults *faults, const char *serial) {
    *bootloader = (struct phone_bootloader){
        .options = options, .faults = faults, .serial = serial, .slot = 'a', .download = -1};
}

void phone_bootloader_close(struct phone_bootloader *bootloader) {
    if (bootloader->download >= 0) {
        close(bootloader->download);
    }
    bootloader->download = -1;
}

void phone_bootloader_reset(struct phone_bootloader *bootloader) {
    phone_bootloader_close(bootloader);
    bootloader->is_hung = false;
    bootloader->is_stalled = false;
    bootloader->is_leaving = false;
    bootloader->data_left = 0;
    bootloader->data_bytes = 0;
    bootloader->variable = 0;
    bootloader->answer_bytes = 0;
}

/* ---- answers ---- */

static void answer(struct phone_bootloader *bootloader, enum fastboot_kind kind, const char *text) {
    bootloader->answer_bytes = fastboot_put_response(bootloader->answer, kind, text_view(text));
}

static void end(struct phone_bootloader *bootloader, const char *wrong) {
    answer(bootloader, wrong == NULL ? FASTBOOT_OKAY : FASTBOOT_FAIL, wrong == NULL ? "" : wrong);
}

/* True: it is answered already, or never. */
static bool is_hit(struct phone_bootloader *bootloader, enum phone_fault_kind kind,
                   uint64_t now_ms) {
    switch (kind) {
    case PHONE_FAULT_HANG:
        bootloader->is_hung = true;
        return true;
    case PHONE_FAULT_DROP:
        bootloader->is_leaving = true;
        bootloader->boots = PHONE_BOOT_BOOTLOADER;
        return true;
    case PHONE_FAULT_STALL:
        bootloader->is_stalled = true;
        return true;
    case PHONE_FAULT_FAIL:
        end(bootloader, "it was told to fail");
        return true;
    case PHONE_FAULT_GARBAGE:
        answer(bootloader, FASTBOOT_OKAY, "");
        bootloader->answer_bytes = 2;
        return true;
    case PHONE_FAULT_SLOW:
        bootloader->answer_ms = now_ms + SLOW_MS;
        return false;
    case PHONE_FAULT_NONE:
    default:
        return false;
    }
}

static enum phone_fault_kind draw(struct phone_bootloader *bootloader, struct bytes stage) {
    return phone_fault_draw(bootloader->faults, &bootloader->random, stage);
}

/* ---- variables ---- */

static uint32_t download_limit(const struct phone_bootloader *bootloader) {
    uint32_t bytes = bootloader->options->download_bytes;
    return bytes == 0 ? PHONE_DOWNLOAD_USUAL : bytes;
}

typedef bool give_value(const struct phone_bootloader *bootloader, struct bytes about,
                        char value[VALUE_BYTES]);

static bool give_serial(const struct phone_bootloader *bootloader, struct bytes about,
                        char value[VALUE_BYTES]) {
    (void)about;
    snprintf(value, VALUE_BYTES, "%s", bootloader->serial);
    return true;
}

static bool give_slot(const struct phone_bootloader *bootloader, struct bytes about,
                      char value[VALUE_BYTES]) {
    (void)about;
    snprintf(value, VALUE_BYTES, "%c", bootloader->slot);
    return true;
}

static bool give_limit(const struct phone_bootloader *bootloader, struct bytes about,
                       char value[VALUE_BYTES]) {
    (void)about;
    snprintf(value, VALUE_BYTES, "0x%x", download_limit(bootloader));
    return true;
}

static bool give_has_slot(const struct phone_bootloader *bootloader, struct bytes about,
                          char value[VALUE_BYTES]) {
    const struct phone_partition *partition = phone_partition_find_base(about);
    (void)bootloader;
    if (partition == NULL) {
        return false;
    }
    snprintf(value, VALUE_BYTES, "%s", partition->has_slots ? "yes" : "no");
    return true;
}

static bool give_size(const struct phone_bootloader *bootloader, struct bytes about,
                      char value[VALUE_BYTES]) {
    const struct phone_partition *partition = phone_partition_find(about);
    (void)bootloader;
    if (partition == NULL) {
        return false;
    }
    snprintf(value, VALUE_BYTES, "0x%llx", (unsigned long long)partition->bytes);
    return true;
}

static bool give_type(const struct phone_bootloader *bootloader, struct bytes about,
                      char value[VALUE_BYTES]) {
    (void)bootloader;
    snprintf(value, VALUE_BYTES, "raw");
    return phone_partition_find(about) != NULL;
}

static const struct {
    const char *name;
    const char *fixed;
    give_value *give; /* NULL: fixed */
    bool is_listed;
} variables[] = {
    {"version", "0.4", NULL, true},
    {"product", "phonesim", NULL, true},
    {"variant", "sim", NULL, true},
    {"hw-revision", "1", NULL, true},
    {"serialno", NULL, give_serial, true},
    {"secure", "no", NULL, true},
    {"unlocked", "yes", NULL, true},
    {"is-userspace", "no", NULL, true},
    {"slot-count", "2", NULL, true},
    {"current-slot", NULL, give_slot, true},
    {"max-download-size", NULL, give_limit, true},
    {"battery-soc-ok", "yes", NULL, true},
    {"has-slot", NULL, give_has_slot, false},
    {"partition-size", NULL, give_size, false},
    {"partition-type", NULL, give_type, false},
};

static bool find_value(const struct phone_bootloader *bootloader, struct bytes variable,
                       char value[VALUE_BYTES]) {
    size_t size = text_up_to(variable, ':');
    struct bytes name = {variable.data, size};
    size_t skipped = size < variable.size ? size + 1 : size;
    struct bytes about = {variable.data + skipped, variable.size - skipped};
    for (size_t i = 0; i < array_count(variables); i++) {
        if (!text_is(name, text_view(variables[i].name))) {
            continue;
        }
        if (variables[i].give != NULL) {
            return variables[i].give(bootloader, about, value);
        }
        snprintf(value, VALUE_BYTES, "%s", variables[i].fixed);
        return true;
    }
    return false;
}

/* `getvar:all`: a line for each variable and each partition, then OKAY. */
static void list_next(struct phone_bootloader *bootloader) {
    char line[LINE_BYTES];
    uint32_t at = bootloader->variable - 1;
    while (at < array_count(variables) && !variables[at].is_listed) {
        at += 1;
    }
    bootloader->variable = at + 2;
    if (at < array_count(variables)) {
        char value[VALUE_BYTES];
        (void)find_value(bootloader, text_view(variables[at].name), value);
        snprintf(line, sizeof line, "%s:%s", variables[at].name, value);
        answer(bootloader, FASTBOOT_INFO, line);
        return;
    }
    const struct phone_partition *partition =
        phone_partition_at(at - (uint32_t)array_count(variables));
    if (partition == NULL) {
        bootloader->variable = 0;
        end(bootloader, NULL);
        return;
    }
    snprintf(line, sizeof line, "partition-size:%s%s:0x%llx", partition->name,
             partition->has_slots ? "_a" : "", (unsigned long long)partition->bytes);
    answer(bootloader, FASTBOOT_INFO, line);
}

/* ---- commands ---- */

typedef void run_command(struct phone_bootloader *bootloader, struct bytes argument);

static void run_getvar(struct phone_bootloader *bootloader, struct bytes argument) {
    char value[VALUE_BYTES];
    if (text_is(argument, bytes_of("all"))) {
        bootloader->variable = 1;
        list_next(bootloader);
    } else if (find_value(bootloader, argument, value)) {
        answer(bootloader, FASTBOOT_OKAY, value);
    } else {
        end(bootloader, "unknown variable");
    }
}

static void path_of(const struct phone_bootloader *bootloader, struct bytes name,
                    char path[LINE_BYTES]) {
    snprintf(path, LINE_BYTES, "%s/%s.%.*s", bootloader->options->folder, bootloader->serial,
             (int)name.size, (const char *)name.data);
}

static void run_download(struct phone_bootloader *bootloader, struct bytes argument) {
    char text[NAME_BYTES];
    char path[LINE_BYTES];
    uint64_t bytes = 0;
    snprintf(text, sizeof text, "0x%.*s", (int)argument.size, (const char *)argument.data);
    if (fastboot_get_number(text_view(text), &bytes) != STATUS_OK || bytes == 0 ||
        bytes > download_limit(bootloader)) {
        end(bootloader, "data too large");
        return;
    }
    phone_bootloader_close(bootloader);
    path_of(bootloader, bytes_of("download"), path);
    bootloader->download = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (bootloader->download < 0) {
        end(bootloader, "its memory cannot be opened");
        return;
    }
    bootloader->data_bytes = (uint32_t)bytes;
    bootloader->data_left = (uint32_t)bytes;
    bootloader->data_fault = draw(bootloader, bytes_of("data"));
    bootloader->answer_bytes = fastboot_put_data(bootloader->answer, (uint32_t)bytes);
}

static void run_flash(struct phone_bootloader *bootloader, struct bytes argument) {
    char path[LINE_BYTES];
    const struct phone_partition *partition = phone_partition_find(argument);
    if (partition == NULL) {
        end(bootloader, "partition does not exist");
        return;
    }
    if (bootloader->download < 0 || bootloader->data_bytes == 0) {
        end(bootloader, "nothing was downloaded");
        return;
    }
    path_of(bootloader, argument, path);
    end(bootloader,
        phone_partition_write(path, partition, bootloader->download, bootloader->data_bytes));
}

static void run_erase(struct phone_bootloader *bootloader, struct bytes argument) {
    char path[LINE_BYTES];
    const struct phone_partition *partition = phone_partition_find(argument);
    path_of(bootloader, argument, path);
    end(bootloader,
        partition == NULL ? "partition does not exist" : phone_partition_erase(path, partition));
}

static void run_set_active(struct phone_bootloader *bootloader, struct bytes argument) {
    bool is_good = argument.size == 1 && (argument.data[0] == 'a' || argument.data[0] == 'b');
    bootloader->slot = is_good ? (char)argument.data[0] : bootloader->slot;
    end(bootloader, is_good ? NULL : "invalid slot");
}

static void leave(struct phone_bootloader *bootloader, enum phone_boot boots) {
    end(bootloader, NULL);
    bootloader->is_leaving = true;
    bootloader->boots = boots;
}

static void run_reboot(struct phone_bootloader *bootloader, struct bytes argument) {
    (void)argument;
    leave(bootloader, PHONE_BOOT_ANDROID);
}

static void run_reboot_bootloader(struct phone_bootloader *bootloader, struct bytes argument) {
    (void)argument;
    leave(bootloader, PHONE_BOOT_BOOTLOADER);
}

static const struct {
    const char *name;
    run_command *run;
} commands[] = {
    {"getvar", run_getvar},         {"download", run_download},
    {"flash", run_flash},           {"erase", run_erase},
    {"set_active", run_set_active}, {"reboot", run_reboot},
    {"continue", run_reboot},       {"reboot-bootloader", run_reboot_bootloader},
};

void phone_bootloader_command(struct phone_bootloader *bootloader, struct bytes packet,
                              uint64_t now_ms) {
    struct bytes name;
    struct bytes argument;
    if (bootloader->is_hung || bootloader->is_leaving) {
        return;
    }
    bootloader->variable = 0;
    if (is_hit(bootloader, draw(bootloader, packet), now_ms)) {
        return;
    }
    if (fastboot_get_command(packet, &name, &argument) == STATUS_OK) {
        for (size_t i = 0; i < array_count(commands); i++) {
            if (text_is(name, text_view(commands[i].name))) {
                commands[i].run(bootloader, argument);
                return;
            }
        }
    }
    end(bootloader, "unknown command");
}

/* ---- data ---- */

static void end_data(struct phone_bootloader *bootloader, uint64_t now_ms) {
    if (!is_hit(bootloader, draw(bootloader, bytes_of("data-end")), now_ms)) {
        end(bootloader, NULL);
    }
}

size_t phone_bootloader_data(struct phone_bootloader *bootloader, struct bytes data,
                             uint64_t now_ms) {
    bool is_taking = bootloader->data_left > 0 && bootloader->answer_bytes == 0 &&
                     !bootloader->is_hung && !bootloader->is_leaving;
    size_t size = !is_taking                          ? 0
                  : data.size < bootloader->data_left ? data.size
                                                      : bootloader->data_left;
    if (size == 0) {
        return 0;
    }
    if (write(bootloader->download, data.data, size) != (ssize_t)size) {
        bootloader->is_hung = true;
        return 0;
    }
    bootloader->data_left -= (uint32_t)size;
    bool is_middle = bootloader->data_left <= bootloader->data_bytes / 2;
    enum phone_fault_kind fault = is_middle ? bootloader->data_fault : PHONE_FAULT_NONE;
    if (fault != PHONE_FAULT_NONE) {
        bootloader->data_fault = PHONE_FAULT_NONE;
    }
    if (!is_hit(bootloader, fault, now_ms) && bootloader->data_left == 0) {
        end_data(bootloader, now_ms);
    }
    return size;
}

struct bytes phone_bootloader_answer(const struct phone_bootloader *bootloader, uint64_t now_ms) {
    bool is_due = now_ms >= bootloader->answer_ms;
    return (struct bytes){bootloader->answer, is_due ? bootloader->answer_bytes : 0};
}

void phone_bootloader_answered(struct phone_bootloader *bootloader) {
    bootloader->answer_bytes = 0;
    if (bootloader->variable > 0) {
        list_next(bootloader);
    }
}
