#include "host/shared/process_row.h"

#include "host/shared/process_member.h"

struct bytes process_row_front(struct bytes text, size_t size) {
    if (text.size > size) {
        while (size > 0 && (text.data[size] & 0xc0) == 0x80) {
            size -= 1;
        }
        text.size = size;
    }
    return text;
}

void process_row_members(struct json_writer *writer, const struct process_row *row) {
    const struct process_counts counts = {.in_review = row->is_in_review};
    struct process_names names = process_status_names(row->status, &counts);
    process_member_id(writer, "process_id", &row->id);
    json_write_bytes(writer, "process_type", row->process_type);
    process_member_text(writer, "request_id", row->request_id);
    json_write_string(writer, "status", names.status);
    json_write_string(writer, "internal_status", names.internal);
    json_write_string(writer, "state", names.state);
    json_write_string(writer, "job_status", names.job_status);
    process_member_text(writer, "phone_id", row->phone);
    json_write_uint(writer, "attempts", row->attempts);
    process_time_write_ms(writer, "created_at", row->created_ms);
    process_time_write_ms(writer, "updated_at", row->updated_ms);
    process_time_write_ms(writer, "finished_at", row->finished_ms);
    if (row->category == RECORD_CATEGORY_NONE) {
        json_write_null(writer, "error");
        return;
    }
    json_write_begin_object(writer, "error");
    json_write_string(writer, "category", record_category_name(row->category));
    process_member_text(writer, "code", row->code);
    process_member_text(writer, "message", row->message);
    json_write_end_object(writer);
}
