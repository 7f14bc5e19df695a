#include "host/upstreamd/fleet/parts.h"

#include "host/shared/log.h"

#include <string.h>

static uint8_t image_buffer[DB_RECORD_MAX];

static struct bytes text_bytes(const char *text) {
    return (struct bytes){(const uint8_t *)text, strlen(text)};
}

static void copy_bytes(char *target, size_t capacity, struct bytes text) {
    size_t size = text.size < capacity ? text.size : capacity - 1;
    if (size > 0) {
        memcpy(target, text.data, size);
    }
    target[size] = '\0';
}

static struct record_time time_of(const struct parts *parts, const struct record_time *time) {
    return work_time(process_time_ms(parts->clock, time));
}

/* When it happened, by the wall clock: readers see the fleet's history with the hubs' times. */
static uint64_t moment_of(const struct parts *parts, const struct record_header *header) {
    uint64_t at_ms = process_time_ms(parts->clock, &header->time);
    return at_ms == 0 || at_ms > parts->now_ms ? parts->now_ms : at_ms;
}

/* ---- items ---- */

/* The fleet's own numbers and times in the place of the hub's. */
static enum status translate(const struct parts *parts, const struct db_item *item,
                             const char *phone, struct record_item *image) {
    struct record_item before = *image;
    enum status status = STATUS_OK;
    struct db_fleet_phone found;
    image->superseded = false;
    image->generation = item->generation;
    image->target_index = 0;
    image->target_phone = 0;
    image->phone = 0;
    image->failed_phone = 0;
    image->failed_count = 0;
    image->started = time_of(parts, &before.started);
    image->first_device = time_of(parts, &before.first_device);
    image->grant_from = time_of(parts, &before.grant_from);
    if (phone[0] != '\0') {
        status = db_fleet_phone_find(parts->db, phone, &found);
        image->phone = status == STATUS_OK ? found.number : 0;
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

/* What only the fleet's own record knows. */
static enum status keep_own(struct work *work, const struct db_item *item,
                            struct record_item *image) {
    struct record_item own;
    const struct bytes worker = image->worker;
    enum status status = work_read_item(work, item, &own);
    image->target_index = own.target_index;
    image->target_phone = own.target_phone;
    image->worker = worker;
    return status;
}

/* The hub that holds the item is told in the present epoch, whichever the process was made in. */
static enum status give_up_other(struct parts *parts, struct db_item *item) {
    struct db_upstream upstream;
    if (item->hub[0] == '\0' || item->is_withdrawing) {
        return STATUS_OK;
    }
    enum status status = db_upstream_get(parts->db, &upstream);
    return status == STATUS_OK ? assignment_tell(parts->db, upstream.epoch, SYNC_WITHDRAW, item)
                               : status;
}

/* What a hub has told of an item. */
struct told {
    const struct record_header *header;
    const struct record_item *image;
    const char *phone;
};

static enum status take_image(struct parts *parts, struct work *work, struct db_item *item,
                              const struct told *told) {
    const struct db_item before = *item;
    struct record_item own = *told->image;
    enum status status = translate(parts, item, told->phone, &own);
    status = status == STATUS_OK ? keep_own(work, item, &own) : status;
    if (status != STATUS_OK) {
        return status;
    }
    bool has_ended = own.state >= RECORD_COMPLETED;
    item->is_started =
        item->is_started || own.state == RECORD_RUNNING || own.attempt > before.attempt;
    item->phase = has_ended ? DB_PHASE_ENDED : DB_PHASE_ASSIGNED;
    item->is_lost = false; /* it is there after all */
    item->is_withdrawing = before.is_withdrawing && !before.is_lost && !has_ended;
    item->refusals = 0;
    item->refused_hub[0] = '\0';
    copy_bytes(work->phone, sizeof work->phone, text_bytes(told->phone));
    return work_put(work, &before, item, &own, told->header->event);
}

/* With the process and the item locked. */
static enum status judge_item(struct parts *parts, struct work *work, struct db_item *item,
                              const struct told *told) {
    enum assignment_verdict verdict = assignment_judge(item, parts->hub, told->image->assignment,
                                                       (enum record_item_state)told->image->state);
    enum status status = STATUS_OK;
    if (verdict == ASSIGNMENT_HISTORY) {
        return STATUS_OK;
    }
    if (verdict != ASSIGNMENT_CURRENT) {
        log_info("assignment_judged verdict=%s process=%llu item=%u hub=%s assignment=%u",
                 verdict == ASSIGNMENT_WINS ? "wins" : "newer", (unsigned long long)item->process,
                 item->item, parts->hub, told->image->assignment);
        status = give_up_other(parts, item);
        copy_bytes(item->hub, sizeof item->hub, text_bytes(parts->hub));
        item->assignment = verdict == ASSIGNMENT_NEWER ? told->image->assignment : item->assignment;
        item->is_withdrawing = false;
        item->is_lost = false;
    }
    if (status == STATUS_OK && told->header->event == RECORD_WITHDRAWN_EVENT) {
        return assignment_return(work, item, told->image);
    }
    return status == STATUS_OK ? take_image(parts, work, item, told) : status;
}

/* Opens the process of a part and finds its item. NOT_FOUND: there is none (any more). */
static enum status open_part(struct parts *parts, uint64_t local, uint64_t at_ms, struct work *work,
                             struct db_item *item) {
    struct db_part part = {.store = parts->store, .local = local};
    enum status status = db_part_get(parts->db, &part);
    status = status == STATUS_OK ? work_open(work, parts->db, at_ms, part.process) : status;
    return status == STATUS_OK ? db_item_get(parts->db, part.process, part.item, item) : status;
}

static enum status tolerate(enum status status) {
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

enum status parts_item(struct parts *parts, const struct record_header *header,
                       const struct record_item *image, const char *phone) {
    struct work work;
    struct db_item item;
    if (image->assignment == 0) {
        return STATUS_OK; /* the hub's own */
    }
    enum status status = open_part(parts, header->path[0], moment_of(parts, header), &work, &item);
    if (status != STATUS_OK) {
        return tolerate(status);
    }
    parts->has_changed = true;
    const struct told told = {header, image, phone};
    status = judge_item(parts, &work, &item, &told);
    return status == STATUS_OK ? work_close(&work) : status;
}

/* ---- attempts ---- */

enum status parts_attempt(struct parts *parts, const struct record_header *header,
                          const struct record_attempt *image) {
    struct work work;
    struct db_item item;
    struct record_attempt own = *image;
    enum status status = open_part(parts, header->path[0], moment_of(parts, header), &work, &item);
    if (status != STATUS_OK || strcmp(item.hub, parts->hub) != 0) {
        return tolerate(status); /* the hub's own, or history */
    }
    own.started = time_of(parts, &image->started);
    own.ended = time_of(parts, &image->ended);
    parts->has_changed = true;
    status = work_log_attempt(&work, item.item, (uint32_t)header->path[2], &own, header->event);
    return status == STATUS_OK ? work_close(&work) : status;
}

/* ---- requests ---- */

/* A gap can bring an item before the request that says whose it is. */
static enum status catch_up(struct parts *parts, uint64_t local) {
    struct db_image found = {.buffer = image_buffer};
    const uint64_t path[3] = {local, 1};
    struct record_header header;
    struct record_item image;
    struct cbor_reader reader;
    enum status status = db_object_get(parts->db, parts->store, RECORD_ITEM, path, &found);
    if (status != STATUS_OK) {
        return tolerate(status);
    }
    cbor_reader_init(&reader, found.bytes);
    record_get_header(&reader, &header);
    record_get_item(&reader, &image);
    return cbor_reader_done(&reader) ? parts_item(parts, &header, &image, "") : STATUS_OK;
}

enum status parts_request(struct parts *parts, const struct record_header *header,
                          const struct record_request *image) {
    const struct db_part part = {.store = parts->store,
                                 .local = header->path[0],
                                 .process = image->origin.process,
                                 .item = image->origin.item};
    if (part.process == 0) {
        return STATUS_OK;
    }
    enum status status = db_part_put(parts->db, &part);
    return status == STATUS_OK ? catch_up(parts, part.local) : status;
}

/* ---- answers ---- */

static enum status take_refusal(struct parts *parts, enum record_answer_code code,
                                struct work *work, struct db_item *item) {
    log_warn("offer_refused hub=%s process=%llu item=%u reason=%s", parts->hub,
             (unsigned long long)item->process, item->item, record_answer_name(code));
    if (code == RECORD_ANSWER_STALE_ASSIGNMENT) {
        item->assignment += 8; /* the hub knows of later ones than this database */
    }
    return assignment_end(work, item, ASSIGNMENT_REFUSED, 0);
}

/* What an answer says of an item that the hub still has by our books. */
static enum status take_answer(struct parts *parts, const struct db_command *command,
                               enum record_answer_code code, struct work *work,
                               struct db_item *item) {
    bool is_offer = command->kind == SYNC_OFFER;
    uint64_t repeats = 0;
    if (item->is_lost) {
        return STATUS_OK; /* what its hub says of it is no news: the grant is awaited */
    }
    /* An offer that was made again since may be taken where this one was refused. */
    enum status status = is_offer ? db_command_repeats(parts->db, command, &repeats) : STATUS_OK;
    if (status != STATUS_OK || repeats > 0) {
        return status;
    }
    if (is_offer && !item->is_started && assignment_judge_answer(code) == ASSIGNMENT_ELSEWHERE) {
        return take_refusal(parts, code, work, item);
    }
    if (!is_offer && code == RECORD_ANSWER_UNKNOWN_PROCESS) {
        return assignment_end(work, item, ASSIGNMENT_WITHDRAWN, 0);
    }
    if (command->kind == SYNC_WITHDRAW && code != RECORD_ANSWER_DONE) {
        item->is_withdrawing = false;
        return db_item_put(parts->db, item);
    }
    return STATUS_OK;
}

enum status parts_answer(struct parts *parts, const struct record_header *header,
                         const struct record_answer *image) {
    struct db_command command = {.epoch = image->upstream_epoch, .number = header->path[0]};
    enum record_answer_code code = (enum record_answer_code)image->code;
    struct work work;
    struct db_item item;
    copy_bytes(command.hub, sizeof command.hub, text_bytes(parts->hub));
    enum status status = db_command_get(parts->db, &command);
    if (status == STATUS_OK) {
        parts->has_changed = true;
        bool is_kept = command.process == 0 && code == RECORD_ANSWER_DONE;
        status =
            is_kept ? db_command_keep(parts->db, &command) : db_command_delete(parts->db, &command);
    }
    if (status == STATUS_OK && code != RECORD_ANSWER_DONE) {
        log_warn("command_refused hub=%s number=%llu kind=%u reason=%s", parts->hub,
                 (unsigned long long)command.number, command.kind, record_answer_name(code));
    }
    if (status != STATUS_OK || command.process == 0) {
        return tolerate(status);
    }
    status = work_open(&work, parts->db, parts->now_ms, command.process);
    status =
        status == STATUS_OK ? db_item_get(parts->db, command.process, command.item, &item) : status;
    bool is_its = status == STATUS_OK && item.phase == DB_PHASE_ASSIGNED &&
                  strcmp(item.hub, parts->hub) == 0 &&
                  (command.assignment == 0 || command.assignment == item.assignment);
    if (!is_its) {
        return tolerate(status);
    }
    status = take_answer(parts, &command, code, &work, &item);
    return status == STATUS_OK ? work_close(&work) : status;
}

/* ---- phones ---- */

enum status parts_phone(struct parts *parts, const struct record_phone *image) {
    struct db_fleet_phone phone = {.state = image->state};
    copy_bytes(phone.id, sizeof phone.id, image->id);
    copy_bytes(phone.hub, sizeof phone.hub, text_bytes(parts->hub));
    copy_bytes(phone.labels, sizeof phone.labels, image->labels);
    parts->has_changed = true;
    return phone.id[0] == '\0' ? STATUS_OK : db_fleet_phone_put(parts->db, &phone);
}
