#include "host/hubd/run/executor_flash.h"

#include "host/hubd/run/flash_command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    JOBS_MAX = 64, /* phones that are flashed at once */
    WORD_BYTES = 128,
    STEP_MS = 100
};

static struct flash_job jobs[JOBS_MAX];

/* ---- to the bootloader ---- */

static void stream_opened(void *owner) {
    (void)owner;
}

static void stream_data(void *owner, struct bytes data) {
    (void)owner;
    (void)data;
}

static void stream_data_end(void *owner) {
    (void)owner;
}

static size_t stream_fill(void *owner, uint8_t *target, size_t capacity) {
    (void)owner;
    (void)target;
    (void)capacity;
    return 0;
}

static void stream_closed(void *owner) {
    struct flash_job *job = owner;
    job->stream = NULL;
}

static bool leave(struct flash_job *job) {
    static const struct phone_stream_handler calls = {.opened = stream_opened,
                                                      .data = stream_data,
                                                      .data_end = stream_data_end,
                                                      .fill = stream_fill,
                                                      .closed = stream_closed};
    struct attempt *attempt = job->attempt;
    struct phone_stream_handler handler = calls;
    handler.owner = job;
    flash_job_say(job, "to the bootloader");
    if (!job->is_away) {
        job->is_away = hub_phone_event(attempt->executor->hub, attempt->start.phone, PHONE_ON_AWAY,
                                       "its lease asked for the bootloader") == STATUS_OK;
    }
    enum status status =
        !job->is_away ? STATUS_FULL
                      : phone_stream_open(&attempt->line->link, attempt->start.token,
                                          bytes_of("reboot:bootloader"), &handler, &job->stream);
    if (status == STATUS_FULL) {
        return false;
    }
    if (status != STATUS_OK) {
        flash_job_lose(job, "could not be asked to reboot");
        return true;
    }
    phone_stream_poke(&attempt->line->link, job->stream);
    job->step = FLASH_ARRIVE;
    return false;
}

static bool arrive(struct flash_job *job) {
    const struct attempt *attempt = job->attempt;
    job->line = phones_bootloader_of(attempt->executor->phones, attempt->start.phone);
    if (job->line == NULL) {
        return false;
    }
    job->step = FLASH_PRODUCT;
    return true;
}

/* ---- Android is back ---- */

static bool come_back(struct flash_job *job) {
    struct attempt *attempt = job->attempt;
    struct executor *executor = attempt->executor;
    struct phone_line *line = phones_line_of(executor->phones, attempt->start.phone);
    if (line == NULL || executor->hub->phones[attempt->start.phone].state != RECORD_PHONE_LEASED) {
        return false;
    }
    attempt->line = line;
    phone_link_fence(&line->link, attempt->start.token);
    action_add_number(&attempt->findings, attempt->action, "partitions", job->manifest.count);
    action_add_number(&attempt->findings, attempt->action, "bytes", (int64_t)job->sent_bytes);
    action_add_number(&attempt->findings, attempt->action, "mb_per_s",
                      (int64_t)flash_job_rate(job->sent_bytes, job->busy_ms));
    executor_flash_stop(attempt); /* its line is NULL by now */
    attempt->step = ATTEMPT_DONE;
    return false;
}

static bool tell_loss(struct flash_job *job) {
    struct attempt *attempt = job->attempt;
    if (hub_phone_event(attempt->executor->hub, attempt->start.phone, PHONE_ON_WINDOW_OVER,
                        job->reason) != STATUS_AGAIN) {
        executor_flash_stop(attempt);
        attempt->step = ATTEMPT_LOST;
    }
    return false;
}

/* ---- the course ---- */

/* The steps that act by themselves, and say whether there is more to do now; others are commands.
 */
static bool (*const acts[FLASH_STEP_COUNT])(struct flash_job *job) = {
    [FLASH_CHECK] = flash_job_check_some, [FLASH_LEAVE] = leave,    [FLASH_ARRIVE] = arrive,
    [FLASH_RETURN] = come_back,           [FLASH_LOST] = tell_loss,
};

const char *executor_flash_text(const struct attempt *attempt) {
    return attempt->flash == NULL ? "" : attempt->flash->text;
}

void executor_flash_step(struct attempt *attempt) {
    struct flash_job *job = attempt->flash;
    bool is_more = !job->is_waiting;
    if (job->is_waiting && job->step == FLASH_DOWNLOAD) {
        flash_job_show_progress(job);
        flash_job_say(
            job, "%s, %llu MB/s", job->partition,
            (unsigned long long)flash_job_rate(job->sent_bytes, flash_job_sending_ms(job)));
    }
    while (is_more) {
        is_more = acts[job->step] != NULL ? acts[job->step](job) : flash_command_run(job);
    }
}

uint64_t executor_flash_deadline_ms(const struct attempt *attempt) {
    const struct flash_job *job = attempt->flash;
    uint64_t now_ms = flash_job_now(job);
    return job->is_waiting ? TIMER_NEVER : now_ms + (job->step == FLASH_CHECK ? 0 : STEP_MS);
}

void executor_flash_stop(struct attempt *attempt) {
    struct flash_job *job = attempt->flash;
    if (job == NULL) {
        return;
    }
    if (job->line != NULL && job->line->is_bootloader) {
        if (job->is_waiting) {
            fastboot_link_close(&job->line->fastboot);
        }
        phones_leave_bootloader(job->line);
    }
    if (job->stream != NULL) {
        phone_stream_close(&attempt->line->link, job->stream);
    }
    flash_job_close_image(job);
    if (job->folder >= 0) {
        close(job->folder);
    }
    attempt->flash = NULL;
    job->attempt = NULL;
}

/* ---- how it begins ---- */

static struct flash_job *find_free(void) {
    for (size_t i = 0; i < JOBS_MAX; i++) {
        if (jobs[i].attempt == NULL) {
            return &jobs[i];
        }
    }
    return NULL;
}

/* The folder of the action, and below it the one that the inputs name. */
static const char *find_folder(struct attempt *attempt, char folder[ACTION_PATH_BYTES * 2]) {
    static char memory[WORD_BYTES];
    static char wrong[ACTION_TEXT_BYTES];
    const struct action *action = executor_action(attempt);
    struct action_words words = {.memory = memory, .capacity = sizeof memory};
    snprintf(folder, (size_t)ACTION_PATH_BYTES * 2, "%s", action->source);
    if (action->target[0] == '\0') {
        return NULL;
    }
    if (action_words_fill(&words, action->target, executor_inputs(attempt), wrong) != STATUS_OK) {
        return "the inputs lack a usable one for its folder";
    }
    const char *name = words.list[0];
    bool is_name = name != NULL && name[0] != '\0' && name[0] != '.' && strchr(name, '/') == NULL &&
                   words.list[1] == NULL;
    if (!is_name) {
        return "the inputs must name a folder, without a path";
    }
    snprintf(folder, (size_t)ACTION_PATH_BYTES * 2, "%s/%s", action->source, name);
    return NULL;
}

static void read_folder(struct flash_job *job, const char *folder) {
    struct config_error error;
    job->folder = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (job->folder < 0) {
        flash_job_refuse(job, RECORD_CATEGORY_CAPABILITY, "folder", folder, strerror(errno));
        return;
    }
    if (flash_manifest_read(folder, &job->manifest, &error) != STATUS_OK) {
        flash_job_refuse(job, RECORD_CATEGORY_CAPABILITY, "manifest", "it is refused", error.text);
        return;
    }
    for (uint32_t i = 0; i < job->manifest.count; i++) {
        const struct flash_part *part = &job->manifest.parts[i];
        job->total_bytes += part->bytes * (part->slot == FLASH_BOTH ? 2 : 1);
    }
}

enum status executor_flash_begin(struct attempt *attempt) {
    char folder[ACTION_PATH_BYTES * 2];
    struct flash_job *job = find_free();
    if (job == NULL) {
        return STATUS_FULL;
    }
    memset(job, 0, sizeof *job);
    job->attempt = attempt;
    job->folder = -1;
    attempt->flash = job;
    snprintf(job->argument, sizeof job->argument, "product");
    flash_job_say(job, "checking");
    const char *wrong = find_folder(attempt, folder);
    if (wrong != NULL) {
        flash_job_refuse(job, RECORD_CATEGORY_CAPABILITY, "input_missing", "inputs", wrong);
    } else if (!attempt->line->is_usb) {
        flash_job_refuse(job, RECORD_CATEGORY_CAPABILITY, "not_on_usb", "its phone",
                         "only a phone on USB can be flashed");
    } else {
        read_folder(job, folder);
    }
    return STATUS_OK;
}
