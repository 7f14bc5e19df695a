#include "host/upstreamd/db/db_statements.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A notice is words, each with a newline behind it: `work`, `hub NAME`, `store ID`, `all`. */
static const char all[] = "all\n";
static const char work[] = "work\n";
static const char hub_word[] = "hub ";
static const char store_word[] = "store ";

void db_notice_clear(struct db *db) {
    db->notice.size = 0;
    db->notice.store = 0;
    db->notice.text[0] = '\0';
}

/* ---- telling ---- */

/* Whether the text has this word, at the beginning of a line. */
static bool has_word(const struct db_notice *notice, const char *word) {
    const char *at = strstr(notice->text, word);
    while (at != NULL && at != notice->text && at[-1] != '\n') {
        at = strstr(at + 1, word);
    }
    return at != NULL;
}

static void note(struct db *db, const char *word) {
    struct db_notice *notice = &db->notice;
    size_t size = strlen(word);
    if (!db->sql.driver->is_server || strcmp(notice->text, all) == 0 || has_word(notice, word)) {
        return;
    }
    if (notice->size + size > DB_NOTICE_MAX) {
        memcpy(notice->text, all, sizeof all);
        notice->size = sizeof all - 1;
        return;
    }
    memcpy(notice->text + notice->size, word, size + 1);
    notice->size += size;
}

void db_note_work(struct db *db) {
    note(db, work);
}

void db_note_hub(struct db *db, const char *hub) {
    char word[RECORD_ID_MAX + 8];
    snprintf(word, sizeof word, "%s%s\n", hub_word, hub);
    note(db, word);
}

void db_note_store(struct db *db, int64_t store) {
    if (db->notice.store != store) { /* nearly all records of a push are of one */
        char word[32];
        db->notice.store = store;
        snprintf(word, sizeof word, "%s%lld\n", store_word, (long long)store);
        note(db, word);
    }
}

const char *db_notice_text(const struct db *db) {
    return db->notice.size == 0 ? NULL : db->notice.text;
}

/* ---- hearing ---- */

/* What newer programs may say and this one does not know counts as everything. */
static void read_word(const char *text, size_t size, struct db_word *word) {
    *word = (struct db_word){.kind = DB_WORD_ALL};
    if (size + 1 == sizeof work - 1 && memcmp(text, work, size) == 0) {
        word->kind = DB_WORD_WORK;
    } else if (strncmp(text, hub_word, sizeof hub_word - 1) == 0) {
        word->kind = DB_WORD_HUB;
        snprintf(word->hub, sizeof word->hub, "%.*s", (int)(size - (sizeof hub_word - 1)),
                 text + sizeof hub_word - 1);
    } else if (strncmp(text, store_word, sizeof store_word - 1) == 0) {
        word->kind = DB_WORD_STORE;
        word->store = strtoll(text + sizeof store_word - 1, NULL, 10);
    }
}

bool db_take_word(struct db *db, struct db_word *word) {
    struct db_notice *heard = &db->heard;
    if (heard->taken >= heard->size) {
        if (!sql_take_notice(&db->sql, heard->text, sizeof heard->text)) {
            return false;
        }
        heard->taken = 0;
        heard->size = strlen(heard->text);
    }
    const char *text = heard->text + heard->taken;
    size_t size = strcspn(text, "\n");
    heard->taken += size + 1;
    db->words_heard += 1;
    read_word(text, size, word);
    return true;
}
