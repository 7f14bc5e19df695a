#include "host/hubd/run/flash_command.h"

#include "protocol/text.h"

#include <stdio.h>
#include <string.h>

enum {
    LIMIT_MAX = 1 << 30,       /* RESPARSE_LIMIT of AOSP's fastboot */
    LIMIT_UNKNOWN = 256 << 20, /* old bootloaders do not say; fastbootd's own */
};

/* ---- what becomes of an answer ---- */

typedef void take_answer(struct flash_job *job, bool is_good, const char *text);

static void next_part(struct flash_job *job) {
    flash_job_close_image(job);
    if (job->part < job->manifest.count) {
        job->step = FLASH_HAS_SLOT;
        snprintf(job->argument, sizeof job->argument, "has-slot:%s",
                 flash_job_part(job)->partition);
    } else if (job->manifest.sets_active) {
        bool is_b = job->manifest.active == FLASH_B ||
                    (job->manifest.active == FLASH_OTHER && job->active == 'a');
        job->step = FLASH_ACTIVATE;
        snprintf(job->argument, sizeof job->argument, "%c", is_b ? 'b' : 'a');
    } else {
        job->step = FLASH_REBOOT;
        job->argument[0] = '\0';
    }
}

static void take_product(struct flash_job *job, bool is_good, const char *text) {
    bool is_any = job->manifest.products[0] == '\0';
    if (!is_any && (!is_good || !flash_manifest_allows(&job->manifest, text))) {
        flash_job_refuse(job, RECORD_CATEGORY_CAPABILITY, "wrong_product",
                         is_good ? text : "unknown product", "these images are not for it");
        return;
    }
    job->step = FLASH_LIMIT;
    snprintf(job->argument, sizeof job->argument, "max-download-size");
}

static void take_limit(struct flash_job *job, bool is_good, const char *text) {
    uint64_t number = LIMIT_UNKNOWN;
    if (is_good && fastboot_get_number(text_view(text), &number) != STATUS_OK) {
        number = LIMIT_UNKNOWN;
    }
    if (number < SPARSE_PIECE_MIN) {
        flash_job_refuse(job, RECORD_CATEGORY_FASTBOOT, "too_small", "max-download-size",
                         "it takes less than 128 KiB at once");
        return;
    }
    job->limit = number < LIMIT_MAX ? (uint32_t)number : LIMIT_MAX;
    job->step = FLASH_ACTIVE;
    snprintf(job->argument, sizeof job->argument, "current-slot");
}

static void take_active(struct flash_job *job, bool is_good, const char *text) {
    text += text[0] == '_' ? 1 : 0;
    job->active = is_good && (strcmp(text, "a") == 0 || strcmp(text, "b") == 0) ? text[0] : 0;
    next_part(job);
}

/* 0: there is no such slot. */
static char slot_of(const struct flash_job *job) {
    switch (flash_job_part(job)->slot) {
    case FLASH_A:
        return 'a';
    case FLASH_B:
        return 'b';
    case FLASH_BOTH:
        return job->pass == 0 ? 'a' : 'b';
    case FLASH_OTHER:
        return (char)(job->active == 0 ? 0 : 'a' + 'b' - job->active);
    case FLASH_CURRENT:
    case FLASH_SLOT_COUNT:
    default:
        return job->active;
    }
}

static bool reopen_image(struct flash_job *job) {
    const struct flash_part *part = flash_job_part(job);
    if (!flash_job_open_image(job, part)) {
        return false;
    }
    struct flash_identity found = flash_image_identity(&job->image);
    if (!flash_identity_is(&found, &job->identities[job->part])) {
        flash_job_refuse(job, RECORD_CATEGORY_CAPABILITY, "image", part->file,
                         "it was changed after it was checked");
        return false;
    }
    return true;
}

static void take_has_slot(struct flash_job *job, bool is_good, const char *text) {
    const struct flash_part *part = flash_job_part(job);
    bool has_slots = is_good && strcmp(text, "yes") == 0;
    char slot = slot_of(job);
    if (has_slots ? slot == 0 : part->slot != FLASH_CURRENT) {
        flash_job_refuse(job, RECORD_CATEGORY_CAPABILITY, "no_slot", part->partition,
                         has_slots ? "the bootloader does not say which slot is active"
                                   : "it has no slots, and the manifest asks for one");
        return;
    }
    snprintf(job->partition, sizeof job->partition, "%s%s%.1s", part->partition,
             has_slots ? "_" : "", has_slots ? &slot : "");
    job->part_bytes = 0;
    if (!part->is_erased && !reopen_image(job)) {
        return;
    }
    job->step = part->is_erased ? FLASH_ERASE : FLASH_DOWNLOAD;
    snprintf(job->argument, sizeof job->argument, "%s", job->partition);
}

static void end_pass(struct flash_job *job) {
    bool is_again = flash_job_part(job)->slot == FLASH_BOTH && job->pass == 0;
    job->pass = is_again ? 1 : 0;
    job->part += is_again ? 0 : 1;
    next_part(job);
}

static void take_erased(struct flash_job *job, bool is_good, const char *text) {
    char line[FLASH_JOB_TEXT_BYTES];
    if (!is_good) {
        flash_job_refuse(job, RECORD_CATEGORY_FASTBOOT, "refused", job->partition, text);
        return;
    }
    snprintf(line, sizeof line, "%s erased", job->partition);
    flash_job_note(job, line);
    end_pass(job);
}

static void take_downloaded(struct flash_job *job, bool is_good, const char *text) {
    job->busy_ms += flash_job_now(job) - job->began_ms;
    if (!is_good) {
        flash_job_refuse(job, RECORD_CATEGORY_FASTBOOT, "refused", job->partition, text);
        return;
    }
    job->step = FLASH_WRITE;
    snprintf(job->argument, sizeof job->argument, "%s", job->partition);
}

static void take_written(struct flash_job *job, bool is_good, const char *text) {
    if (!is_good) {
        flash_job_refuse(job, RECORD_CATEGORY_FASTBOOT, "refused", job->partition, text);
        return;
    }
    job->step = FLASH_DOWNLOAD;
}

static void take_activated(struct flash_job *job, bool is_good, const char *text) {
    if (!is_good) {
        flash_job_refuse(job, RECORD_CATEGORY_FASTBOOT, "refused", "set_active", text);
        return;
    }
    job->step = FLASH_REBOOT;
    job->argument[0] = '\0';
}

static void take_rebooted(struct flash_job *job, bool is_good, const char *text) {
    if (!is_good) {
        flash_job_refuse(job, RECORD_CATEGORY_FASTBOOT, "refused", "reboot", text);
        return;
    }
    flash_job_say(job, "waiting for Android");
    job->line = NULL;
    job->step = FLASH_RETURN;
}

/* ---- what is asked ---- */

static const struct {
    const char *name; /* "": a download; NULL: the step is no command */
    take_answer *take;
    bool may_leave; /* the phone is gone before it answers: as good as OKAY */
} commands[FLASH_STEP_COUNT] = {
    [FLASH_PRODUCT] = {.name = "getvar", .take = take_product},
    [FLASH_LIMIT] = {.name = "getvar", .take = take_limit},
    [FLASH_ACTIVE] = {.name = "getvar", .take = take_active},
    [FLASH_HAS_SLOT] = {.name = "getvar", .take = take_has_slot},
    [FLASH_ERASE] = {.name = "erase", .take = take_erased},
    [FLASH_DOWNLOAD] = {.name = "", .take = take_downloaded},
    [FLASH_WRITE] = {.name = "flash", .take = take_written},
    [FLASH_ACTIVATE] = {.name = "set_active", .take = take_activated},
    [FLASH_REBOOT] = {.name = "reboot", .take = take_rebooted, .may_leave = true},
};

static void take_note(void *owner, struct bytes text) {
    struct flash_job *job = owner;
    char line[FASTBOOT_RESPONSE_MAX + 16];
    snprintf(line, sizeof line, "(bootloader) %.*s", (int)text.size, (const char *)text.data);
    flash_job_note(job, line);
}

static size_t fill(void *owner, uint8_t *target, size_t capacity) {
    struct flash_job *job = owner;
    size_t size = flash_image_read(&job->image, target, capacity);
    uint64_t left = flash_job_part(job)->bytes - job->part_bytes; /* heads of pieces come on top */
    uint64_t counted = size < left ? size : left;
    job->part_bytes += counted;
    job->sent_bytes += counted;
    return size;
}

static void answered(void *owner, const struct fastboot_result *result) {
    struct flash_job *job = owner;
    bool has_left = commands[job->step].may_leave && result->status == STATUS_UNPLUGGED;
    job->is_waiting = false;
    if (result->status == STATUS_OK || result->status == STATUS_DENIED || has_left) {
        commands[job->step].take(job, result->status != STATUS_DENIED, result->text);
    } else {
        flash_job_lose(job, result->text);
    }
}

/* True: this image has no more downloads; the next step is set. */
static bool is_image_over(struct flash_job *job, uint32_t *bytes) {
    enum status status = flash_image_next(&job->image, job->limit, bytes);
    if (status == STATUS_OK) {
        return false;
    }
    if (status == STATUS_NOT_FOUND) {
        char line[FLASH_JOB_TEXT_BYTES];
        job->sent_bytes +=
            flash_job_part(job)->bytes - job->part_bytes; /* sparse pieces can be shorter */
        snprintf(line, sizeof line, "%s written, %llu bytes, %llu MB/s so far", job->partition,
                 (unsigned long long)flash_job_part(job)->bytes,
                 (unsigned long long)flash_job_rate(job->sent_bytes, job->busy_ms));
        flash_job_note(job, line);
        end_pass(job);
    } else {
        flash_job_refuse(job, RECORD_CATEGORY_CAPABILITY, "image", flash_job_part(job)->file,
                         "it cannot be read");
    }
    return true;
}

/* True: there is more to do now. */
bool flash_command_run(struct flash_job *job) {
    struct fastboot_order order = {
        .name = commands[job->step].name,
        .argument = job->argument,
        .handler = {.fill = fill, .note = take_note, .ended = answered, .owner = job},
    };
    if (job->line->device == 0 || !job->line->is_bootloader) {
        flash_job_lose(job, "was unplugged");
        return true;
    }
    if (!fastboot_link_is_idle(&job->line->fastboot)) {
        return false;
    }
    if (job->step == FLASH_DOWNLOAD && is_image_over(job, &order.data_bytes)) {
        return job->attempt != NULL;
    }
    enum status status = fastboot_link_command(&job->line->fastboot, job->attempt->start.token,
                                               &order, flash_job_now(job));
    if (status != STATUS_OK) {
        flash_job_lose(job, "its bootloader takes no command");
        return true;
    }
    job->began_ms = flash_job_now(job);
    job->is_waiting = true;
    return false;
}
