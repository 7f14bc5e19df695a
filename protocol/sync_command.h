/* sync_command.h - what upstream tells a hub to do (SPEC.md section 8), inside the commands of a
 * reply (protocol/sync_message.h). The schema is protocol/sync.cddl.
 *
 * Texts and bytes in what was read are views into the message. */
#ifndef PROTOCOL_SYNC_COMMAND_H
#define PROTOCOL_SYNC_COMMAND_H

#include "protocol/sync_message.h"

enum sync_command_kind {
    SYNC_ANSWERED, /* these numbers hold nothing any more: an earlier life of the hub answered them
                    */
    SYNC_OFFER,    /* take this item and run it */
    SYNC_CANCEL,
    SYNC_SUSPEND,
    SYNC_RESUME,
    SYNC_RETRY, /* of the hub's own processes only */
    SYNC_SETTLE,
    SYNC_WITHDRAW, /* stop this item if it runs, and forget it */
};

struct sync_offer {
    uint64_t process;    /* number at upstream, from 1; as the item's */
    uint32_t generation; /* from 1 */
    uint32_t item;       /* from 1 */
    uint32_t assignment; /* from 1, growing per item */
    uint32_t ttl_ms;     /* of the grant, from the sending of the poll that this answers */
    struct bytes
        request; /* image as in records.cddl, for record_get_request(); not looked at here */
    struct bytes phone_id; /* it must run on; empty: any eligible */
    struct bytes account;  /* empty: none */
    /* Where the attempts before left it. */
    uint32_t attempt;
    uint32_t attempts_counted;
    uint32_t actions_done;
    uint64_t actions_digest; /* of the action list that actions_done counts in; 0: none yet */
};

void sync_offer_write(struct cbor_writer *writer, uint64_t number, const struct sync_offer *offer);
/* MALFORMED. Items behind the known ones are skipped. */
must_check enum status sync_offer_read(const struct sync_command *command,
                                       struct sync_offer *offer);

enum sync_owner { SYNC_OWN_HUB, SYNC_OWN_UPSTREAM };

/* The numbers from the command's own to `through`. */
void sync_answered_write(struct cbor_writer *writer, uint64_t number, uint64_t through);
/* MALFORMED: `through` is below the number. Items behind it are skipped. */
must_check enum status sync_answered_read(const struct sync_command *command, uint64_t *through);

/* Every other kind. */
struct sync_control {
    uint8_t owner;       /* enum sync_owner: of the process. WITHDRAW: upstream */
    uint64_t process;    /* its owner's number */
    uint32_t item;       /* upstream's; 0 for a process of the hub, or (SETTLE) all that wait */
    uint32_t assignment; /* WITHDRAW */
    bool is_done;        /* SETTLE: else failed */
};

/* `kind` is SYNC_CANCEL to SYNC_WITHDRAW. */
void sync_control_write(struct cbor_writer *writer, uint64_t number, enum sync_command_kind kind,
                        const struct sync_control *control);
/* MALFORMED. Items behind the known ones are skipped. */
must_check enum status sync_control_read(const struct sync_command *command,
                                         struct sync_control *control);

#endif
