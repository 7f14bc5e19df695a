#include "host/hubd/run/flash_job.h"

#include "host/hubd/run/executor_flash.h"
#include "host/shared/log.h"
#include "protocol/text.h"

#include <stdarg.h>
#include <stdio.h>

enum { CHECK_PERCENT = 20, SEND_PERCENT = 75 };

const struct flash_part *flash_job_part(const struct flash_job *job) {
    return &job->manifest.parts[job->part];
}

uint64_t flash_job_now(const struct flash_job *job) {
    return job->attempt->executor->now_ms;
}

/* ---- what people see ---- */

void flash_job_say(struct flash_job *job, const char *format, ...) {
    char what[FLASH_JOB_TEXT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    snprintf(job->text, sizeof job->text, "%.31s: %.60s", executor_action(job->attempt)->name,
             what);
}

/* A line of the attempt's output. */
void flash_job_note(struct flash_job *job, const char *line) {
    executor_take_output(job->attempt, false, text_view(line));
    executor_take_output(job->attempt, false, bytes_of("\n"));
}

uint64_t flash_job_rate(uint64_t bytes, uint64_t ms) {
    return bytes / (ms == 0 ? 1 : ms) / 1000; /* MB/s */
}

uint64_t flash_job_sending_ms(const struct flash_job *job) {
    bool is_sending = job->is_waiting && job->step == FLASH_DOWNLOAD;
    return job->busy_ms + (is_sending ? flash_job_now(job) - job->began_ms : 0);
}

void flash_job_show_progress(struct flash_job *job) {
    struct attempt *attempt = job->attempt;
    uint64_t total = job->total_bytes == 0 ? 1 : job->total_bytes;
    uint64_t percent =
        CHECK_PERCENT * job->hashed_bytes / total + SEND_PERCENT * job->sent_bytes / total;
    uint32_t count = attempt->list->count;
    (void)!hub_attempt_progress(attempt->executor->hub, attempt->start.phone, attempt->start.token,
                                attempt->action,
                                (100 * attempt->action + (uint32_t)percent) / count);
}

/* ---- failures ---- */

void flash_job_refuse(struct flash_job *job, enum record_category category, const char *code,
                      const char *what, const char *why) {
    struct attempt *attempt = job->attempt;
    executor_flash_stop(attempt);
    executor_fail(attempt, category, code, "%s: %s: %s", executor_action(attempt)->name, what, why);
}

void flash_job_lose(struct flash_job *job, const char *why) {
    snprintf(job->reason, sizeof job->reason, "in its bootloader: %.40s%s%.60s", job->partition,
             job->partition[0] == '\0' ? "" : ": ", why);
    job->step = FLASH_LOST;
    log_warn("flash_broke_off phone=%s reason=%s",
             job->attempt->executor->hub->phones[job->attempt->start.phone].id, job->reason);
}

/* ---- images ---- */

bool flash_job_open_image(struct flash_job *job, const struct flash_part *part) {
    const char *why = "it cannot be read";
    enum status status = flash_image_open(&job->image, job->folder, part->file, part->bytes);
    if (status == STATUS_OK) {
        job->is_image_open = true;
        return true;
    }
    if (status == STATUS_NOT_FOUND) {
        why = "there is no such file";
    } else if (status == STATUS_TOO_LARGE) {
        why = "it has not the size that the manifest says";
    } else if (status == STATUS_MALFORMED || status == STATUS_FOREIGN) {
        why = "it is no sound sparse image";
    }
    flash_job_refuse(job, RECORD_CATEGORY_CAPABILITY, "image", part->file, why);
    return false;
}

void flash_job_close_image(struct flash_job *job) {
    if (job->is_image_open) {
        flash_image_close(&job->image);
    }
    job->is_image_open = false;
}

static void next_file(struct flash_job *job) {
    flash_job_close_image(job);
    job->part += 1;
}

/* Hashes a slice. False: nothing more to do now. */
bool flash_job_check_some(struct flash_job *job) {
    if (job->part == job->manifest.count) {
        job->part = 0;
        job->step = FLASH_LEAVE;
        return true;
    }
    const struct flash_part *part = flash_job_part(job);
    if (part->is_erased) {
        next_file(job);
        return true;
    }
    if (!job->is_image_open && !flash_job_open_image(job, part)) {
        return false;
    }
    flash_job_say(job, "checking %s", part->file);
    enum status status = flash_image_judge(&job->image, part->sha256);
    if (status == STATUS_AGAIN) {
        return false;
    }
    if (status != STATUS_OK) {
        flash_job_refuse(job, RECORD_CATEGORY_CAPABILITY, "image", part->file,
                         status == STATUS_CORRUPT     ? "its SHA-256 is not what the manifest says"
                         : status == STATUS_MALFORMED ? "it is no sound sparse image"
                                                      : "it cannot be read");
        return false;
    }
    job->identities[job->part] = flash_image_identity(&job->image);
    job->hashed_bytes += part->bytes * (part->slot == FLASH_BOTH ? 2 : 1);
    flash_job_show_progress(job);
    next_file(job);
    return true;
}
