/* GET /processes: the list, filtered, in an order, page by page. */
#include "host/hubd/api/api_internal.h"
#include "host/shared/rfc3339.h"

#include <stdio.h>
#include <string.h>

enum {
    STATUS_SHIFT = 48,    /* above the number, in the order by status */
    PAGE_END_BYTES = 128, /* for what stands behind a list */
    MESSAGE_BYTES = 160   /* of an error in a row */
};

enum order {
    ORDER_NEWEST,
    ORDER_OLDEST,
    ORDER_CHANGED, /* what changed last comes first */
    ORDER_STATUS,  /* what failed first, then what goes on, then what has ended well */
    ORDER_COUNT
};

static const char *const order_names[ORDER_COUNT] = {"newest", "oldest", "changed", "status"};

struct filter {
    char status[24];
    char type[RECORD_ID_MAX + 1];
    char phone[RECORD_ID_MAX + 1];
    char failed[8];
    uint64_t limit;
    enum order order;
    uint64_t cursor;   /* only processes behind this key, in the order of the list */
    uint64_t since_ms; /* created at or after */
    uint64_t until_ms; /* created before */
};

/* An RFC 3339 time; absent: `wall_ms` stays. */
static bool read_time(const struct http_api_call *call, const char *name, uint64_t *wall_ms) {
    char text[40];
    if (!http_api_query_text(call, name, text, sizeof text)) {
        return false;
    }
    if (text[0] != '\0' && rfc3339_parse(text, wall_ms) != STATUS_OK) {
        http_api_refuse(call, 400, "malformed_query", "`since` and `until` are RFC 3339 times");
        return false;
    }
    return true;
}

static bool read_order(const struct http_api_call *call, enum order *order) {
    char text[16];
    if (!http_api_query_text(call, "sort", text, sizeof text)) {
        return false;
    }
    for (unsigned i = 0; i < ORDER_COUNT; i++) {
        if (text[0] == '\0' || strcmp(text, order_names[i]) == 0) {
            *order = (enum order)i;
            return true;
        }
    }
    http_api_refuse(call, 400, "malformed_query", "`sort` is newest, oldest, changed or status");
    return false;
}

static bool read_filter(const struct http_api_call *call, struct filter *filter) {
    *filter = (struct filter){.limit = 50, .until_ms = UINT64_MAX};
    bool is_good = http_api_query_text(call, "status", filter->status, sizeof filter->status) &&
                   http_api_query_text(call, "type", filter->type, sizeof filter->type) &&
                   http_api_query_text(call, "phone", filter->phone, sizeof filter->phone) &&
                   http_api_query_text(call, "failed", filter->failed, sizeof filter->failed) &&
                   http_api_query_number(call, "limit", 200, &filter->limit) &&
                   read_order(call, &filter->order) &&
                   read_time(call, "since", &filter->since_ms) &&
                   read_time(call, "until", &filter->until_ms);
    filter->cursor = filter->order == ORDER_OLDEST ? 0 : UINT64_MAX;
    filter->limit = filter->limit == 0 ? 1 : filter->limit;
    return is_good && http_api_query_number(call, "cursor", INT64_MAX, &filter->cursor);
}

static const char *type_of(const struct hub *hub, const struct hub_process *process) {
    return process->capability == HUB_NONE ? "" : hub->capabilities[process->capability].name;
}

/* The phone of the last item that has one: now, by its last attempt, or as it was asked for. */
static const char *phone_of(const struct hub *hub, const struct hub_process *process) {
    const char *phone = "";
    for (uint32_t item = process->first_item; item != HUB_NONE;
         item = hub->items[item].next_of_process) {
        uint32_t row = hub_item_last_phone(hub, item);
        phone = row == HUB_NONE ? phone : hub->phones[row].id;
    }
    return phone;
}

static bool is_in_time(const struct hub *hub, const struct hub_process *process,
                       const struct filter *filter) {
    if (filter->since_ms == 0 && filter->until_ms == UINT64_MAX) {
        return true;
    }
    const struct process_clock clock = api_clock(hub);
    uint64_t created_ms = process_time_ms(&clock, &process->image.created);
    return created_ms >= filter->since_ms && created_ms < filter->until_ms;
}

static bool matches(const struct hub *hub, const struct hub_process *process,
                    const struct filter *filter) {
    const struct process_names names = process_status_names(process->status, &process->counts);
    bool has_failed = process->status == PROCESS_PARTIAL ||
                      process->status == PROCESS_DEAD_LETTER ||
                      process->status == PROCESS_NO_TARGET;
    return (filter->status[0] == '\0' || strcmp(filter->status, names.status) == 0 ||
            strcmp(filter->status, names.internal) == 0 ||
            strcmp(filter->status, names.state) == 0) &&
           (filter->type[0] == '\0' || strcmp(filter->type, type_of(hub, process)) == 0) &&
           (filter->phone[0] == '\0' || strcmp(filter->phone, phone_of(hub, process)) == 0) &&
           (filter->failed[0] == '\0' || has_failed) && is_in_time(hub, process, filter);
}

/* Its place in the order: no two processes have the same. */
static uint64_t key_of(const struct hub *hub, const struct hub_process *process, enum order order) {
    static const uint8_t ranks[PROCESS_STATUS_COUNT] = {
        [PROCESS_DEAD_LETTER] = 9, [PROCESS_NO_TARGET] = 8, [PROCESS_PARTIAL] = 7,
        [PROCESS_RETRYABLE] = 6,   [PROCESS_EXECUTING] = 5, [PROCESS_CLAIMED] = 4,
        [PROCESS_PLANNED] = 3,     [PROCESS_QUEUED] = 2,    [PROCESS_DONE] = 1,
    };
    if (order == ORDER_CHANGED) {
        return store_slot(&hub->store, process->tail)->seq;
    }
    uint64_t rank = order == ORDER_STATUS ? ranks[process->status] : 0;
    return rank << STATUS_SHIFT | process->number;
}

static bool is_behind(const struct filter *filter, uint64_t key, uint64_t cursor) {
    return filter->order == ORDER_OLDEST ? key > cursor : key < cursor;
}

/* The matching process that comes next behind the cursor, which moves to it. */
static uint32_t next_match(const struct hub *hub, const struct filter *filter, uint64_t *cursor) {
    uint32_t best = HUB_NONE;
    uint64_t best_key = 0;
    for (uint32_t p = 0; p < hub->process_pool.touched; p++) {
        if (!pool_is_used(&hub->process_pool, p)) {
            continue;
        }
        uint64_t key = key_of(hub, &hub->processes[p], filter->order);
        if (is_behind(filter, key, *cursor) &&
            (best == HUB_NONE || is_behind(filter, best_key, key)) &&
            matches(hub, &hub->processes[p], filter)) {
            best = p;
            best_key = key;
        }
    }
    *cursor = best == HUB_NONE ? *cursor : best_key;
    return best;
}

/* Why the last item of a process that failed did so: the attempt that ended it. */
static void find_error(struct hub *hub, const struct hub_process *of, struct process_row *row) {
    struct record_attempt image;
    uint32_t failed = HUB_NONE;
    for (uint32_t item = of->first_item; item != HUB_NONE;
         item = hub->items[item].next_of_process) {
        uint8_t state = hub->items[item].image.state;
        bool is_it = !hub->items[item].image.superseded &&
                     (state == RECORD_FAILED || state == RECORD_RETRY_WAIT);
        failed = is_it ? item : failed;
    }
    if (failed == HUB_NONE) {
        bool is_late = (of->image.flags & RECORD_PAST_DEADLINE) != 0;
        row->category = of->status != PROCESS_NO_TARGET ? RECORD_CATEGORY_NONE
                        : is_late                       ? RECORD_CATEGORY_DEADLINE
                                                        : RECORD_CATEGORY_NO_TARGET;
        return;
    }
    uint32_t attempt = hub->items[failed].first_attempt;
    while (attempt != HUB_NONE && hub->attempts[attempt].next != HUB_NONE) {
        attempt = hub->attempts[attempt].next;
    }
    row->category = (enum record_category)hub->items[failed].image.category;
    if (row->category == RECORD_CATEGORY_NONE && attempt != HUB_NONE &&
        api_read_attempt(hub, attempt, &image)) {
        row->category = (enum record_category)image.category;
        row->code = image.code;
        row->message = image.message;
    }
}

void api_write_row(struct api *api, struct json_writer *writer, uint32_t process) {
    struct hub *hub = api->hub;
    const struct hub_process *of = &hub->processes[process];
    const struct process_clock clock = api_clock(hub);
    char type[RECORD_ID_MAX + 1];
    char request_id[RECORD_TEXT_MAX + 1];
    struct record_request request = {0};
    (void)api_read_request(hub, process, &request);
    /* The next read takes the place of what the request points to. */
    snprintf(type, sizeof type, "%.*s", (int)request.process_type.size,
             (const char *)request.process_type.data);
    snprintf(request_id, sizeof request_id, "%.*s", (int)request.request_id.size,
             (const char *)request.request_id.data);
    uint32_t attempts = 0;
    for (uint32_t item = of->first_item; item != HUB_NONE;
         item = hub->items[item].next_of_process) {
        uint32_t attempt = hub->items[item].image.attempt;
        attempts = attempt > attempts ? attempt : attempts;
    }
    struct process_row row = {
        .id = ids_process(hub, of->number),
        .process_type = http_api_text(type),
        .request_id = http_api_text(request_id),
        .status = of->status,
        .is_in_review = of->counts.in_review > 0,
        .phone = http_api_text(phone_of(hub, of)),
        .attempts = attempts,
        .created_ms = process_time_ms(&clock, &of->image.created),
        .updated_ms = process_time_ms(&clock, &of->updated),
        .finished_ms = process_time_ms(&clock, &of->image.finished),
    };
    find_error(hub, of, &row);
    row.message = process_row_front(row.message, MESSAGE_BYTES);
    json_write_begin_object(writer, NULL);
    process_row_members(writer, &row);
    json_write_end_object(writer);
}

/* The first row that is not durable yet makes the whole page wait; 0: none. */
static uint64_t awaited_seq(const struct hub *hub, const struct filter *filter) {
    uint64_t cursor = filter->cursor;
    for (uint64_t i = 0; i < filter->limit; i++) {
        uint32_t process = next_match(hub, filter, &cursor);
        if (process == HUB_NONE) {
            return 0;
        }
        uint64_t seq = store_slot(&hub->store, hub->processes[process].tail)->seq;
        if (seq > hub_durable_seq(hub)) {
            return seq;
        }
    }
    return 0;
}

/* Rows until the page is full. Gives the cursor of the last one; 0: there is none behind it. */
static uint64_t write_page(struct api *api, struct json_writer *writer,
                           const struct filter *filter) {
    uint64_t next = filter->cursor;
    uint32_t process = next_match(api->hub, filter, &next);
    uint64_t cursor = filter->cursor;
    for (uint64_t i = 0; i < filter->limit && process != HUB_NONE; i++) {
        struct json_writer before = *writer;
        api_write_row(api, writer, process);
        if (!json_write_keep(writer, &before, PAGE_END_BYTES)) {
            break;
        }
        cursor = next;
        process = next_match(api->hub, filter, &next);
    }
    return process == HUB_NONE ? 0 : cursor;
}

void api_list_processes(const struct http_api_call *call) {
    struct api *api = api_of(call);
    struct filter filter;
    if (!read_filter(call, &filter)) {
        return;
    }
    uint64_t awaited = awaited_seq(api->hub, &filter);
    if (awaited != 0) {
        api_wait_again(call, awaited);
        return;
    }
    struct json_writer writer = http_api_begin_json(call);
    json_write_begin_object(&writer, NULL);
    json_write_begin_array(&writer, "processes");
    uint64_t cursor = write_page(api, &writer, &filter);
    json_write_end_array(&writer);
    if (cursor != 0) {
        process_member_big(&writer, "next_cursor", cursor);
    } else {
        json_write_null(&writer, "next_cursor");
    }
    json_write_end_object(&writer);
    http_api_end_json(call, 200, &writer);
}
