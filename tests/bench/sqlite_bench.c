/* sqlite_bench.c - SQLite beside rows P7 and P8: the same 2,000 objects and updates, WAL mode.
 *
 *   sqlite_bench write GROUP UPDATES     in the working directory; bytes handed to write()
 *   sqlite_bench recover UPDATES         CPU time until the first answer on an unclean copy
 *
 * Syncs are off while writing: they change neither the bytes nor what a recovery must read. */
#include "tests/bench/report.h"

#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OBJECTS = 2000, VALUE_BYTES = 100, LOGICAL_BYTES = 108, COPY_BYTES = 65536, OPENS = 5 };

static sqlite3 *db;
static uint64_t dice = 1;

static void fail(const char *what) {
    fprintf(stderr, "bench: %s: %s\n", what, sqlite3_errmsg(db));
    exit(1);
}

static void run(const char *sql) {
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) {
        fail(sql);
    }
}

static void put(sqlite3_stmt *statement, uint32_t object, uint32_t number) {
    uint8_t value[VALUE_BYTES];
    memset(value, (int)(number * 31 + object), sizeof value);
    sqlite3_bind_int64(statement, 1, (sqlite3_int64)object + 1000000);
    sqlite3_bind_blob(statement, 2, value, sizeof value, SQLITE_TRANSIENT);
    if (sqlite3_step(statement) != SQLITE_DONE) {
        fail("an update");
    }
    sqlite3_reset(statement);
}

static void update(uint32_t group, uint32_t updates) {
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v2(db, "REPLACE INTO objects VALUES (?, ?)", -1, &statement, NULL)) {
        fail("preparing");
    }
    for (uint32_t i = 0; i < updates; i++) {
        dice = dice * 6364136223846793005u + 1442695040888963407u;
        if (i % group == 0) {
            run("BEGIN IMMEDIATE");
        }
        put(statement, (uint32_t)(dice >> 33) % OBJECTS, i);
        if (i % group == group - 1 || i == updates - 1) {
            run("COMMIT");
        }
    }
    sqlite3_finalize(statement);
}

static void create(const char *checkpoints) {
    remove("bench.db");
    remove("bench.db-wal");
    remove("bench.db-shm");
    if (sqlite3_open("bench.db", &db) != SQLITE_OK) {
        fail("opening");
    }
    run("PRAGMA journal_mode = WAL");
    run("PRAGMA synchronous = OFF");
    run(checkpoints);
    run("CREATE TABLE objects (key INTEGER PRIMARY KEY, value BLOB)");
    run("WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 1999)"
        "INSERT INTO objects SELECT i + 1000000, zeroblob(100) FROM n");
    run("PRAGMA wal_checkpoint(TRUNCATE)");
}

/* What this process has handed to write() and its like. */
static double bytes_written(void) {
    double bytes = 0;
    char line[128];
    FILE *file = fopen("/proc/self/io", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "wchar: ", 7) == 0) {
            bytes = strtod(line + 7, NULL);
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return bytes;
}

static void measure_writes(uint32_t group, uint32_t updates) {
    create("PRAGMA wal_autocheckpoint = 1000");
    double before = bytes_written();
    update(group, updates);
    report("amplification", (bytes_written() - before) / ((double)updates * LOGICAL_BYTES));
    sqlite3_close(db);
}

static void copy(const char *from, const char *to) {
    static char buffer[COPY_BYTES];
    FILE *source = fopen(from, "rb");
    FILE *target = fopen(to, "wb");
    if (source == NULL || target == NULL) {
        perror("bench: copying");
        exit(1);
    }
    for (size_t size; (size = fread(buffer, 1, sizeof buffer, source)) > 0;) {
        if (fwrite(buffer, 1, size, target) != size) {
            perror("bench: copying");
            exit(1);
        }
    }
    fclose(source);
    fclose(target);
}

static double recover_once(void) {
    sqlite3_stmt *statement = NULL;
    copy("bench.db", "copy.db");
    copy("bench.db-wal", "copy.db-wal");
    remove("copy.db-shm");
    double start = report_cpu_seconds();
    sqlite3 *of;
    if (sqlite3_open("copy.db", &of) != SQLITE_OK ||
        sqlite3_prepare_v2(of, "SELECT value FROM objects WHERE key = 1000001", -1, &statement,
                           NULL) != SQLITE_OK ||
        sqlite3_step(statement) != SQLITE_ROW) {
        fail("recovering");
    }
    double seconds = report_cpu_seconds() - start;
    sqlite3_finalize(statement);
    sqlite3_close(of);
    return seconds;
}

static void measure_recovery(uint32_t updates) {
    struct stat wal;
    create("PRAGMA wal_autocheckpoint = 0");
    update(1, updates);
    if (stat("bench.db-wal", &wal) != 0) {
        fail("no write-ahead log");
    }
    double seconds = 0;
    for (int i = 0; i < OPENS; i++) {
        seconds += recover_once();
    }
    double mebibytes = (double)wal.st_size / (1 << 20);
    report("milliseconds", seconds * 1e3 / OPENS);
    report("wal_mib", mebibytes);
    report("ms_per_mib", seconds * 1e3 / OPENS / mebibytes);
    sqlite3_close(db);
}

int main(int argc, char **argv) {
    if (argc == 4 && strcmp(argv[1], "write") == 0) {
        measure_writes((uint32_t)strtoul(argv[2], NULL, 10), (uint32_t)strtoul(argv[3], NULL, 10));
    } else if (argc == 3 && strcmp(argv[1], "recover") == 0) {
        measure_recovery((uint32_t)strtoul(argv[2], NULL, 10));
    } else {
        fprintf(stderr, "usage: see the top of tests/bench/sqlite_bench.c\n");
        return 2;
    }
    return 0;
}
