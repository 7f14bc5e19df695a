#include "host/upstreamd/sync/peers.h"

#include <string.h>
#include <unistd.h>

/* Whatever came is taken at the end of the turn. */
static void ready(struct loop_source *source, uint32_t events) {
    (void)source;
    (void)events;
}

void peers_init(struct peers *peers) {
    peers->source = (struct loop_source){.ready = ready, .fd = -1};
    peers->watched = -1;
}

static void hear_all(struct peers *peers) {
    sync_server_wake_all(peers->sync);
    dispatch_note(peers->dispatch);
    peers->api->is_dirty = true;
}

/* libpq closes its descriptor whenever it likes, and the next connection that is accepted may get
 * the same number: the loop has one of its own. */
void peers_watch(struct peers *peers) {
    int fd = peers->db->sql.fd;
    if (fd == peers->watched) {
        return;
    }
    int old = peers->source.fd;
    loop_remove(peers->loop, &peers->source);
    if (old >= 0) {
        close(old);
    }
    peers->watched = fd;
    int copy = fd < 0 ? -1 : dup(fd);
    if (copy >= 0 && loop_add(peers->loop, &peers->source, copy, EPOLLIN) != STATUS_OK) {
        close(copy);
    }
    if (fd >= 0) {
        hear_all(peers); /* what was told while there was no connection */
    }
}

static void hear(struct peers *peers, const struct db_word *word) {
    struct bytes hub = {(const uint8_t *)word->hub, strlen(word->hub)};
    switch (word->kind) {
    case DB_WORD_WORK:
        dispatch_note(peers->dispatch);
        break;
    case DB_WORD_HUB:
        sync_server_wake(peers->sync, hub);
        break;
    case DB_WORD_STORE:
        api_hear(peers->api, word->store);
        break;
    case DB_WORD_ALL:
    default:
        hear_all(peers);
        break;
    }
}

void peers_hear(struct peers *peers) {
    struct db_word word;
    while (db_take_word(peers->db, &word)) {
        hear(peers, &word);
    }
}
