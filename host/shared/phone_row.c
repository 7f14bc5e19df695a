#include "host/shared/phone_row.h"

#include "host/shared/process_member.h"

#include <string.h>

void phone_row_labels(struct json_writer *writer, const char *name, struct bytes words) {
    json_write_begin_array(writer, name);
    while (words.size > 0) {
        const uint8_t *blank = memchr(words.data, ' ', words.size);
        size_t size = blank == NULL ? words.size : (size_t)(blank - words.data);
        size_t taken = blank == NULL ? size : size + 1;
        json_write_bytes(writer, NULL, (struct bytes){words.data, size});
        words = (struct bytes){words.data + taken, words.size - taken};
    }
    json_write_end_array(writer);
}

void phone_row_members(struct json_writer *writer, const struct phone_row *row) {
    bool is_leased = row->is_leased && row->image.state == RECORD_PHONE_READY;
    enum record_phone_state state =
        is_leased ? RECORD_PHONE_LEASED : (enum record_phone_state)row->image.state;
    json_write_bytes(writer, "phone_id", row->image.id);
    json_write_string(writer, "state", record_phone_state_name(state));
    process_member_text(writer, "slot", row->image.slot);
    process_member_text(writer, "model", row->image.model);
    process_member_text(writer, "reason", row->image.reason);
    phone_row_labels(writer, "labels", row->image.labels);
    json_write_bytes(writer, "hub_id", row->hub_id);
    if (row->is_leased && row->lease.number > 0) {
        struct process_id process = row->lease;
        process.item = 0;
        process_member_id(writer, "process_id", &process);
        process_member_id(writer, "item_id", &row->lease);
    } else {
        json_write_null(writer, "process_id");
        json_write_null(writer, "item_id");
    }
    process_time_write_ms(writer, "updated_at", row->updated_ms);
}
