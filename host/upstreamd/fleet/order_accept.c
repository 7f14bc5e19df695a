/* New processes of the fleet. */
#include "host/upstreamd/fleet/order.h"

#include <string.h>

static void copy_text(char *target, size_t capacity, struct bytes text) {
    size_t size = text.size < capacity ? text.size : capacity - 1;
    if (size > 0) {
        memcpy(target, text.data, size);
    }
    target[size] = '\0';
}

static struct bytes text_of(const char *text) {
    return (struct bytes){(const uint8_t *)text, strlen(text)};
}

/* The words of the request's array, which was judged, and of the capability. */
static void join_labels(char target[DB_LABELS_SIZE], struct bytes json, const char *own) {
    size_t used = 0;
    bool is_inside = false;
    for (size_t i = 0; i < json.size && used + 1 < DB_LABELS_SIZE; i++) {
        if (json.data[i] == '"') {
            is_inside = !is_inside;
            used += is_inside && used > 0 ? 1 : 0;
            target[used] = '\0';
            if (is_inside && used > 0) {
                target[used - 1] = ' ';
            }
        } else if (is_inside) {
            target[used] = (char)json.data[i];
            used += 1;
            target[used] = '\0';
        }
    }
    size_t size = strlen(own);
    if (size > 0 && used + 1 + size < DB_LABELS_SIZE) {
        if (used > 0) {
            target[used] = ' ';
            used += 1;
        }
        memcpy(target + used, own, size + 1);
    }
}

/* ---- targets ---- */

static uint8_t phones_buffer[8 * ORDER_ITEMS_MAX];
static uint8_t accounts_buffer[(RECORD_ID_MAX + 1) * ORDER_ITEMS_MAX];

/* As a hub's record holds them. */
static void put_targets(const struct order *order, struct record_request *request) {
    request->item_count = order->item_count;
    request->phones = (struct bytes){phones_buffer, 0};
    request->accounts = (struct bytes){accounts_buffer, 0};
    for (uint32_t i = 0; order->phones != NULL && i < order->item_count; i++) {
        for (int shift = 56; shift >= 0; shift -= 8) {
            phones_buffer[request->phones.size] = (uint8_t)(order->phones[i] >> shift);
            request->phones.size += 1;
        }
    }
    for (uint32_t i = 0; order->accounts != NULL && i < order->item_count; i++) {
        const struct bytes account = order->accounts[i];
        check(account.size <= RECORD_ID_MAX);
        memcpy(accounts_buffer + request->accounts.size, account.data, account.size);
        accounts_buffer[request->accounts.size + account.size] = '\n';
        request->accounts.size += account.size + 1;
    }
}

static enum status judge(const struct record_request *request) {
    size_t size = request->target.size + request->inputs.size + request->callback.size +
                  request->metadata.size + request->labels.size + request->extra.size;
    if (size > 49152) {
        return STATUS_TOO_LARGE;
    }
    return record_is_request_valid(request) ? STATUS_OK : STATUS_MALFORMED;
}

/* ---- items ---- */

static enum status fill_item(const struct orders *orders, const struct order *order, uint32_t index,
                             struct db_item *item) {
    const struct capability *capability = &orders->registry->capabilities[order->capability];
    const struct record_request *request = order->request;
    struct db_fleet_phone phone = {0};
    bool is_later = request->not_before_ms > orders->now_ms;
    *item = (struct db_item){
        .item = index + 1,
        .phase = DB_PHASE_WAITING,
        .state = is_later ? RECORD_SCHEDULED : RECORD_READY,
        .priority = request->priority,
        .due_ms = is_later ? request->not_before_ms : 0,
        .gate_max = capability->concurrency_max == 0 ? 1 : capability->concurrency_max,
        .is_once = capability->once_actions != 0,
    };
    copy_text(item->type, sizeof item->type, request->process_type);
    join_labels(item->labels, request->labels, capability->labels);
    copy_text(item->gate, sizeof item->gate,
              request->concurrency_key.size > 0 ? request->concurrency_key
                                                : text_of(capability->concurrency_key));
    if (order->accounts != NULL) {
        copy_text(item->account, sizeof item->account, order->accounts[index]);
    }
    if (order->phones == NULL) {
        return STATUS_OK;
    }
    enum status status = db_fleet_phone_get(orders->db, order->phones[index], &phone);
    copy_text(item->phone, sizeof item->phone, text_of(phone.id));
    return status;
}

static struct record_item image_of(const struct order *order, const struct db_item *item,
                                   uint32_t index) {
    return (struct record_item){
        .state = item->state,
        .generation = item->generation,
        .target_index = index,
        .target_phone = order->phones == NULL ? 0 : order->phones[index],
    };
}

static enum status plan(const struct orders *orders, const struct order *order, struct work *work) {
    static struct db_item items[ORDER_ITEMS_MAX];
    enum status status = STATUS_OK;
    check(order->item_count >= 1 && order->item_count <= ORDER_ITEMS_MAX);
    for (uint32_t i = 0; i < order->item_count && status == STATUS_OK; i++) {
        status = fill_item(orders, order, i, &items[i]);
        items[i].process = work->row.number;
        items[i].generation = work->image.generation;
        const struct record_item image = image_of(order, &items[i], i);
        status = status == STATUS_OK ? work_put_row(work, NULL, &items[i], &image) : status;
    }
    work->image.flags |= RECORD_PLANNED;
    work->image.item_count = order->item_count;
    status = status == STATUS_OK ? work_log_process(work, RECORD_PLANNED_EVENT) : status;
    for (uint32_t i = 0; i < order->item_count && status == STATUS_OK; i++) {
        const struct record_item image = image_of(order, &items[i], i);
        status = work_log_item(work, &items[i], &image, RECORD_PLANNED_EVENT);
    }
    return status;
}

/* A deadline before planning plans nothing (SPEC.md section 3). */
static enum status plan_nothing(struct work *work) {
    work->image.flags |= RECORD_PLANNED | RECORD_PAST_DEADLINE;
    return work_log_process(work, RECORD_PLANNED_EVENT);
}

/* ---- planning again ---- */

/* The targets of a request as its record holds them. MALFORMED: it is of no kind that was accepted.
 */
static enum status read_targets(const struct record_request *request, struct order *order) {
    static uint64_t phones[ORDER_ITEMS_MAX];
    static struct bytes accounts[ORDER_ITEMS_MAX];
    struct bytes names = request->accounts;
    uint32_t count = request->item_count;
    bool has_phones = request->phones.size > 0;
    if (count == 0 || count > ORDER_ITEMS_MAX ||
        (has_phones && request->phones.size != (size_t)count * 8)) {
        return STATUS_MALFORMED;
    }
    for (uint32_t i = 0; i < count; i++) {
        phones[i] = 0;
        for (uint32_t byte = 0; has_phones && byte < 8; byte++) {
            phones[i] = phones[i] << 8 | request->phones.data[i * 8 + byte];
        }
        const uint8_t *end = names.size == 0 ? NULL : memchr(names.data, '\n', names.size);
        size_t size = end == NULL ? names.size : (size_t)(end - names.data);
        accounts[i] = (struct bytes){names.data, size};
        names.size -= end == NULL ? size : size + 1;
        names.data = end == NULL ? names.data : end + 1;
    }
    order->phones = has_phones ? phones : NULL;
    order->accounts = request->accounts.size > 0 ? accounts : NULL;
    order->item_count = count;
    return STATUS_OK;
}

enum status order_plan_again(const struct orders *orders, struct work *work) {
    struct record_request request;
    struct order order = {.request = &request};
    enum status status = work_request(work, &request);
    status = status == STATUS_OK ? read_targets(&request, &order) : status;
    if (status != STATUS_OK) {
        return status == STATUS_MALFORMED ? STATUS_ILLEGAL : status;
    }
    const struct capability *capability = NULL;
    for (uint32_t i = 0; i < orders->registry->count && capability == NULL; i++) {
        const struct capability *one = &orders->registry->capabilities[i];
        bool is_it = strlen(one->name) == request.process_type.size &&
                     memcmp(one->name, request.process_type.data, request.process_type.size) == 0;
        capability = is_it ? one : NULL;
        order.capability = i;
    }
    if (capability == NULL) {
        return STATUS_ILLEGAL; /* its file has gone */
    }
    work->image.flags &= ~(uint32_t)RECORD_PLANNED;
    status = work_log_process(work, RECORD_RETRIED_EVENT);
    return status == STATUS_OK ? plan(orders, &order, work) : status;
}

/* ---- acceptance ---- */

static enum status find_status(const struct orders *orders, uint64_t number,
                               enum process_status *status_row) {
    struct work work;
    enum status status = work_open(&work, orders->db, orders->now_ms, number);
    if (status == STATUS_OK) {
        *status_row = work_status(&work);
    }
    return status;
}

static enum status answer_duplicate(const struct orders *orders, const struct order *order,
                                    struct order_accepted *accepted) {
    struct db_fleet_process first;
    const struct record_request *request = order->request;
    if (request->key.size == 0) {
        return STATUS_NOT_FOUND;
    }
    enum status status = db_fleet_find_key(orders->db, request->key.data, &first);
    if (status != STATUS_OK) {
        return status;
    }
    *accepted = (struct order_accepted){
        .number = first.number,
        .is_duplicate = true,
        .differs = memcmp(first.body_digest, request->body_digest.data, RECORD_DIGEST_BYTES) != 0,
    };
    if (first.evicted_status != 0) { /* only its key is left */
        accepted->status = (enum process_status)first.evicted_status;
        return STATUS_OK;
    }
    return find_status(orders, first.number, &accepted->status);
}

enum status order_find(const struct orders *orders, const uint8_t key[RECORD_DIGEST_BYTES],
                       uint64_t *number) {
    struct db_fleet_process found;
    enum status status = db_fleet_find_key(orders->db, key, &found);
    if (status == STATUS_OK) {
        *number = found.number;
    }
    return status;
}

static enum status create(const struct orders *orders, const struct order *order,
                          struct db_fleet_process *row) {
    struct work work;
    struct record_request request = *order->request;
    bool is_late = request.deadline_ms != 0 && request.deadline_ms <= orders->now_ms;
    put_targets(order, &request);
    enum status status = work_create(&work, orders->db, orders->now_ms, row, &request);
    if (status == STATUS_OK) {
        status = is_late ? plan_nothing(&work) : plan(orders, order, &work);
    }
    return status == STATUS_OK ? work_close(&work) : status;
}

enum status order_accept(const struct orders *orders, const struct order *order,
                         struct order_accepted *accepted) {
    const struct record_request *request = order->request;
    struct db_fleet_process row = {
        .store = orders->upstream->store,
        .epoch = orders->upstream->epoch,
        .deadline_ms = request->deadline_ms > orders->now_ms ? request->deadline_ms : 0,
        .has_key = request->key.size == RECORD_DIGEST_BYTES,
        .has_callback = order->has_callback,
    };
    enum status status = answer_duplicate(orders, order, accepted);
    if (status != STATUS_NOT_FOUND) {
        return status;
    }
    status = judge(request);
    if (row.has_key) {
        memcpy(row.key, request->key.data, RECORD_DIGEST_BYTES);
    }
    memcpy(row.body_digest, request->body_digest.data, RECORD_DIGEST_BYTES);
    status = status == STATUS_OK ? db_fleet_add(orders->db, &row) : status;
    if (status == STATUS_AGAIN) { /* somebody was faster */
        return answer_duplicate(orders, order, accepted);
    }
    status = status == STATUS_OK ? create(orders, order, &row) : status;
    *accepted = (struct order_accepted){.number = row.number, .status = PROCESS_PLANNED};
    return status;
}
