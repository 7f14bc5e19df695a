/* db_notice.h - what programs on one database tell each other: a transaction that is committed says
 * what it has changed (PostgreSQL's NOTIFY, of the channel that sql_take_notice() listens to), so
 * that the others need not look for it. It is a hint: whoever misses one finds the same at its next
 * look. With SQLite there are no others, and nothing is told.
 *
 * Collected by db*.c themselves, sent by db_commit(). */
#ifndef HOST_UPSTREAMD_DB_NOTICE_H
#define HOST_UPSTREAMD_DB_NOTICE_H

#include "protocol/record.h"

enum { DB_NOTICE_MAX = 7900 }; /* bytes; PostgreSQL takes less than 8000 */

struct db_notice {
    char text[DB_NOTICE_MAX + 1];
    size_t size;   /* 0: nothing */
    size_t taken;  /* of one that was heard */
    int64_t store; /* of the last word about one */
};

enum db_word_kind {
    DB_WORD_ALL,   /* more than a notice can say */
    DB_WORD_WORK,  /* an item waits for a hub, or has made room for one */
    DB_WORD_HUB,   /* there is a command for it */
    DB_WORD_STORE, /* records were added to it */
};

struct db_word {
    enum db_word_kind kind;
    char hub[RECORD_ID_MAX + 1];
    int64_t store;
};

struct db;

/* The next word of another program's. False: there is none now. */
bool db_take_word(struct db *db, struct db_word *word);

/* ---- of db*.c ---- */

void db_notice_clear(struct db *db);
void db_note_work(struct db *db);
void db_note_hub(struct db *db, const char *hub);
void db_note_store(struct db *db, int64_t store);
const char *db_notice_text(const struct db *db); /* NULL: nothing */

#endif
