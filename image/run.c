#include "image/run.h"

#include "image/capabilities.h"
#include "protocol/text.h"

#include <string.h>

void run_begin(struct run *run, const struct hub_start *start) {
    *run = (struct run){.state = RUN_OPENING, .start = *start, .action = start->actions_done};
}

static void end(struct run *run, enum record_outcome outcome, enum record_category category,
                const char *message) {
    run->state = RUN_ENDING;
    run->stream = 0;
    run->outcome = (uint8_t)outcome;
    run->category = (uint8_t)category;
    run->message = message;
}

void run_stop(struct run *run, struct adb_connection *adb) {
    if (run->state == RUN_IDLE) {
        return;
    }
    if (run->stream != 0) {
        adb_connection_close(adb, run->stream);
    }
    end(run, RECORD_STOPPED, RECORD_CATEGORY_NONE, "");
}

/* ---- output ---- */

static void keep_tail(struct run *run, struct bytes data) {
    if (data.size > RUN_TAIL) {
        data = (struct bytes){data.data + data.size - RUN_TAIL, RUN_TAIL};
    }
    if (run->tail_size + data.size > RUN_TAIL) {
        size_t drop = run->tail_size + data.size - RUN_TAIL;
        run->tail_size -= drop;
        memmove(run->tail, run->tail + drop, run->tail_size);
    }
    memcpy(run->tail + run->tail_size, data.data, data.size);
    run->tail_size += data.size;
}

void run_take(struct run *run, struct bytes data) {
    struct adb_shell_piece piece;
    while (adb_shell_next(&run->shell, &data, &piece) == STATUS_OK) {
        if (piece.id == ADB_SHELL_EXIT && piece.data.size == 1) {
            run->has_exit = true;
            run->exit_code = piece.data.data[0];
        } else if (piece.id == ADB_SHELL_STDOUT || piece.id == ADB_SHELL_STDERR) {
            keep_tail(run, piece.data);
        }
    }
}

void run_closed(struct run *run) {
    run->stream = 0;
    if (!run->has_exit) {
        end(run, RECORD_FAILURE, RECORD_CATEGORY_ADB, "the phone ended the service");
    } else if (run->exit_code != 0) {
        end(run, RECORD_FAILURE, RECORD_CATEGORY_EXIT_CODE, "a command failed");
    } else {
        run->state = RUN_STEPPING;
    }
}

/* ---- what the core is told ---- */

/* AGAIN: the same once more, in another turn. Anything else but OK: the lease is over. */
static void said(struct run *run, enum status status, enum run_state next) {
    if (status == STATUS_OK) {
        run->state = next;
    } else if (status != STATUS_AGAIN) {
        run->state = RUN_IDLE;
    }
}

static struct record_attempt image_of(const struct run *run) {
    return (struct record_attempt){
        .outcome = run->outcome,
        .category = run->category,
        .actions_done = run->action,
        .has_exit_code = run->has_exit,
        .exit_code = run->exit_code,
        .message = run->message == NULL ? bytes_of("") : text_view(run->message),
        .output = {run->tail, run->tail_size},
    };
}

static const char *service_of(const struct run *run) {
    const struct image_capability *capability = &capabilities[run->start.capability];
    bool is_there = run->action < array_count(capability->services);
    return is_there ? capability->services[run->action] : NULL;
}

/* A service after which the phone is away. True: the core knows. */
static bool is_away_known(const struct run *run, struct hub *hub) {
    if (hub->phones[run->start.phone].state == RECORD_PHONE_AWAY) {
        return true;
    }
    return hub_phone_event(hub, run->start.phone, PHONE_ON_AWAY, "reboots, as asked") == STATUS_OK;
}

static void open_service(struct run *run, struct hub *hub, struct adb_connection *adb) {
    const char *service = service_of(run);
    if (service == NULL) {
        end(run, RECORD_SUCCESS, RECORD_CATEGORY_NONE, "");
        return;
    }
    enum status status = hub_attempt_touched(hub, run->start.phone, run->start.token);
    if (status != STATUS_OK) {
        said(run, status, run->state);
        return;
    }
    struct bytes text = text_view(service);
    struct bytes rest = text;
    bool is_reboot = text_take(&rest, "reboot:");
    if (is_reboot && !is_away_known(run, hub)) {
        return;
    }
    status = adb_connection_open(adb, text, &run->stream);
    if (status == STATUS_OK) {
        run->has_exit = false;
        run->has_left = false;
        run->tail_size = 0;
        adb_shell_begin(&run->shell);
        run->state = is_reboot ? RUN_AWAITING : RUN_RUNNING;
    } else if (status != STATUS_AGAIN) {
        end(run, RECORD_FAILURE, RECORD_CATEGORY_ADB, "the service could not be opened");
    }
}

static void record_step(struct run *run, struct hub *hub) {
    struct record_attempt image = image_of(run);
    uint32_t count = hub->capabilities[run->start.capability].action_count;
    image.actions_done += 1;
    image.progress_percent = (uint8_t)(100 * image.actions_done / count);
    enum status status = hub_attempt_step(hub, run->start.phone, run->start.token, &image);
    said(run, status, RUN_WAITING);
    if (status == STATUS_OK) {
        run->action += 1;
        run->wait_seq = hub_head_seq(hub);
    }
}

void run_step(struct run *run, struct hub *hub, struct adb_connection *adb, bool is_online) {
    if (run->state == RUN_WAITING && hub_durable_seq(hub) >= run->wait_seq) {
        run->state = RUN_OPENING;
    }
    if (run->state == RUN_OPENING && is_online) {
        open_service(run, hub, adb);
    }
    bool is_back = run->state == RUN_AWAITING && run->has_left &&
                   hub->phones[run->start.phone].state == RECORD_PHONE_LEASED;
    if (is_back) {
        run->stream = 0;
        run->state = RUN_STEPPING;
    }
    if (run->state == RUN_STEPPING) {
        record_step(run, hub);
    }
    if (run->state == RUN_ENDING) {
        const struct record_attempt image = image_of(run);
        said(run, hub_attempt_end(hub, run->start.phone, run->start.token, &image), RUN_IDLE);
    }
}
