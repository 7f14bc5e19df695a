/* The order in which the pushes of a turn are stored: by the names of their hubs, so that two
 * upstreamd lock rows in the same order (db.h). A merge sort from the bottom up, on the list. */
#include "host/upstreamd/sync/sync_server.h"

#include <string.h>

static struct sync_post *at(struct sync_server *sync, uint32_t number) {
    return &sync->posts[number - 1];
}

/* Posts whose connection is gone have no name any more. */
static bool is_behind(const struct sync_post *a, const struct sync_post *b) {
    if (a->connection == NULL || b->connection == NULL) {
        return a->connection != NULL;
    }
    size_t size = a->hub_id.size < b->hub_id.size ? a->hub_id.size : b->hub_id.size;
    int order = memcmp(a->hub_id.data, b->hub_id.data, size);
    return order > 0 || (order == 0 && a->hub_id.size > b->hub_id.size);
}

/* The first `count` of a list, which ends there; gives the rest. */
static uint32_t cut(struct sync_server *sync, uint32_t first, uint32_t count) {
    while (first != 0 && count > 1) {
        first = at(sync, first)->next;
        count -= 1;
    }
    uint32_t rest = first == 0 ? 0 : at(sync, first)->next;
    if (first != 0) {
        at(sync, first)->next = 0;
    }
    return rest;
}

/* Puts two sorted lists behind `*end`; gives the new end. */
static uint32_t *merge(struct sync_server *sync, uint32_t a, uint32_t b, uint32_t *end) {
    while (a != 0 || b != 0) {
        bool takes_b = a == 0 || (b != 0 && is_behind(at(sync, a), at(sync, b)));
        uint32_t *from = takes_b ? &b : &a;
        *end = *from;
        end = &at(sync, *from)->next;
        *from = *end;
    }
    *end = 0;
    return end;
}

void sync_server_sort(struct sync_server *sync) {
    struct sync_list *list = &sync->waiting;
    for (uint32_t width = 1; width < list->count; width *= 2) {
        uint32_t rest = list->first;
        uint32_t *end = &list->first;
        while (rest != 0) {
            uint32_t a = rest;
            uint32_t b = cut(sync, a, width);
            rest = cut(sync, b, width);
            end = merge(sync, a, b, end);
        }
    }
    list->last = 0;
    for (uint32_t number = list->first; number != 0; number = at(sync, number)->next) {
        at(sync, number)->previous = list->last;
        list->last = number;
    }
}
