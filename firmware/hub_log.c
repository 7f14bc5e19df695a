#include "firmware/hub_internal.h"

#include <string.h>

static struct bytes text_of(const char *text) {
    size_t size = 0;
    while (text[size] != '\0') {
        size += 1;
    }
    return (struct bytes){(const uint8_t *)text, size};
}

/* ---- records that belong to no process ---- */

static uint64_t append(struct hub *hub, struct store_key key, const struct store_key *previous,
                       const struct cbor_writer *writer) {
    check(!writer->overflow);
    return store_append(&hub->store, key, previous, (struct bytes){writer->data, writer->size});
}

/* A record is made now. */
static void begin(struct hub *hub, struct cbor_writer *writer, struct record_header *header) {
    header->time_bytes = (struct bytes){hub->now_text, hub->now_bytes};
    cbor_writer_init(writer, hub->record_buffer, hub->record_bytes);
    record_put_header(writer, header);
}

void hub_log_self(struct hub *hub, enum record_event event) {
    struct cbor_writer writer;
    if (hub->image.gap.last <= hub->store.acked_written &&
        hub->image.life.epoch <= hub->store.epoch) {
        hub->image.gap = (struct record_gap){0}; /* a block says that upstream has more */
    }
    hub->revision += 1;
    struct record_header header = {
        .kind = RECORD_HUB,
        .event = event,
        .revision = hub->revision,
    };
    hub->image.hub_id = text_of(hub->hub_id);
    hub->image.boot_id = (struct bytes){hub->boot_id, RECORD_DIGEST_BYTES};
    begin(hub, &writer, &header);
    record_put_hub(&writer, &hub->image);
    hub->logged_token = (uint64_t)hub->store.epoch << 40 | hub->image.token_counter;
    (void)append(hub, (struct store_key){RECORD_HUB, 0}, NULL, &writer);
}

void hub_log_phone(struct hub *hub, uint32_t phone, enum record_event event) {
    struct hub_phone *of = &hub->phones[phone];
    struct cbor_writer writer;
    of->revision += 1;
    struct record_header header = {
        .kind = RECORD_PHONE,
        .event = event,
        .path_count = 1,
        .path = {of->number},
        .revision = of->revision,
    };
    /* A lease is told by its item's record: a phone that is leased is stored as ready. */
    bool is_leased = of->state == RECORD_PHONE_LEASED;
    struct record_phone image = {
        .state = is_leased ? RECORD_PHONE_READY : of->state,
        .id = text_of(of->id),
        .slot = text_of(of->slot),
        .model = text_of(of->model),
        .reason = text_of(of->reason),
        .labels = text_of(of->labels),
    };
    begin(hub, &writer, &header);
    record_put_phone(&writer, &image);
    (void)append(hub, (struct store_key){RECORD_PHONE, phone}, NULL, &writer);
}

void hub_log_key(struct hub *hub, uint32_t key) {
    const struct hub_key *of = &hub->keys[key];
    struct cbor_writer writer;
    struct record_header header = {
        .kind = RECORD_KEY,
        .event = RECORD_EVICTED_EVENT,
        .path_count = 1,
        .path = {of->number},
        .revision = 1,
    };
    struct record_key image = {
        .key = {of->key, RECORD_DIGEST_BYTES},
        .body_digest = {of->body_digest, RECORD_DIGEST_BYTES},
        .process = of->process,
        .status = of->status,
        .evicted = of->evicted,
    };
    begin(hub, &writer, &header);
    record_put_key(&writer, &image);
    (void)append(hub, (struct store_key){RECORD_KEY, key}, NULL, &writer);
}

void hub_log_answer(struct hub *hub, uint32_t slot, uint64_t command,
                    const struct record_answer *image) {
    struct cbor_writer writer;
    struct record_header header = {
        .kind = RECORD_ANSWER,
        .event = RECORD_ANSWERED_EVENT,
        .path_count = 1,
        .path = {command},
        .revision = 1,
    };
    begin(hub, &writer, &header);
    record_put_answer(&writer, image);
    check(writer.size <= HUB_ANSWER_BYTES);
    (void)append(hub, (struct store_key){RECORD_ANSWER, slot}, NULL, &writer);
}

/* ---- records of a process: one dense numbering, one chain ---- */

static void begin_of_process(struct hub *hub, uint32_t process, struct cbor_writer *writer,
                             struct record_header *header) {
    struct hub_process *of = &hub->processes[process];
    of->revision += 1;
    of->status = (uint8_t)process_derive(&of->counts, of->image.flags);
    of->updated = hub_now(hub);
    header->path[0] = of->number;
    header->revision = of->revision;
    header->status = of->status;
    begin(hub, writer, header);
}

static uint64_t append_of_process(struct hub *hub, uint32_t process, struct store_key key,
                                  const struct cbor_writer *writer) {
    struct hub_process *of = &hub->processes[process];
    const struct store_key *previous = of->revision > 1 ? &of->tail : NULL;
    uint64_t seq = append(hub, key, previous, writer);
    of->tail = key;
    return seq;
}

void hub_log_request(struct hub *hub, uint32_t process, const struct record_request *request) {
    struct cbor_writer writer;
    struct record_header header = {
        .kind = RECORD_REQUEST, .event = RECORD_ACCEPTED_EVENT, .path_count = 1};
    begin_of_process(hub, process, &writer, &header);
    record_put_request(&writer, request);
    (void)append_of_process(hub, process, (struct store_key){RECORD_REQUEST, process}, &writer);
}

void hub_log_process(struct hub *hub, uint32_t process, enum record_event event) {
    struct cbor_writer writer;
    struct record_header header = {.kind = RECORD_PROCESS, .event = event, .path_count = 1};
    begin_of_process(hub, process, &writer, &header);
    record_put_process(&writer, &hub->processes[process].image);
    (void)append_of_process(hub, process, (struct store_key){RECORD_PROCESS, process}, &writer);
}

/* Who holds the lease stands in the phone's row while it lasts. */
static void tell_worker(const struct hub *hub, uint32_t item, struct record_item *image) {
    if (!hub_item_is_external(hub, item)) {
        return;
    }
    static const uint8_t none[RECORD_DIGEST_BYTES];
    const struct hub_lease *lease = &hub->phones[hub_item_phone(hub, item)].lease;
    image->worker = text_of(lease->worker);
    if (memcmp(lease->claim, none, sizeof none) != 0) {
        image->claim = (struct bytes){lease->claim, RECORD_DIGEST_BYTES};
    }
}

uint64_t hub_log_item(struct hub *hub, uint32_t item, enum record_event event) {
    struct hub_item *of = &hub->items[item];
    struct cbor_writer writer;
    struct record_header header = {
        .kind = RECORD_ITEM, .event = event, .path_count = 2, .path = {0, of->number}};
    uint64_t due = timer_due(&hub->timers, hub_item_timer(hub, item));
    of->image.wait_ms =
        due == TIMER_NEVER || due < hub->clock.mono_ms ? 0 : due - hub->clock.mono_ms;
    begin_of_process(hub, of->process, &writer, &header);
    struct record_item image = of->image;
    tell_worker(hub, item, &image);
    record_put_item(&writer, &image);
    return append_of_process(hub, of->process, (struct store_key){RECORD_ITEM, item}, &writer);
}

void hub_log_attempt(struct hub *hub, uint32_t item, uint32_t attempt, enum record_event event,
                     const struct record_attempt *image) {
    const struct hub_item *of = &hub->items[item];
    struct cbor_writer writer;
    struct record_header header = {
        .kind = RECORD_ATTEMPT,
        .event = event,
        .path_count = 3,
        .path = {0, of->number, hub->attempts[attempt].number},
    };
    begin_of_process(hub, of->process, &writer, &header);
    record_put_attempt(&writer, image);
    (void)append_of_process(hub, of->process, (struct store_key){RECORD_ATTEMPT, attempt}, &writer);
}
