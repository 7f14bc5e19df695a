/* process_member.h - kinds of members that JSON of processes and phones is made of. */
#ifndef HOST_SHARED_PROCESS_MEMBER_H
#define HOST_SHARED_PROCESS_MEMBER_H

#include "host/shared/json_write.h"
#include "host/shared/process_id.h"

/* Raw JSON that was parsed (it is valid), or `otherwise` (JSON, too) when it is empty. */
void process_member_raw(struct json_writer *writer, const char *name, struct bytes json,
                        const char *otherwise);

/* JSON that a record holds, an object or an array: it is looked at again, for the record may come
 * from another machine. `otherwise` when it is empty or not whole. */
void process_member_json(struct json_writer *writer, const char *name, struct bytes json,
                         const char *otherwise);

/* A text, or null when it is empty. */
void process_member_text(struct json_writer *writer, const char *name, struct bytes text);

/* A text, or null when there is none. */
void process_member_optional(struct json_writer *writer, const char *name, const char *text);

/* A 64-bit number as a decimal string: readers of JSON may not keep more than 53 bits. */
void process_member_big(struct json_writer *writer, const char *name, uint64_t value);

/* The name of a process or item as a string. */
void process_member_id(struct json_writer *writer, const char *name, const struct process_id *id);

#endif
