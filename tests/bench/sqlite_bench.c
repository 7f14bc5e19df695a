/* sqlite_bench.c - SQLite beside rows P1, P7 and P8, WAL mode. P7 and P8: the same 2,000 objects
 * and updates. P1: in process, without server or clients, GROUP jobs go through their four steps
 * together, each step of all of them one durable commit: the most that group commit can give.
 *
 *   sqlite_bench jobs GROUP SECONDS      in the working directory
 *   sqlite_bench write GROUP UPDATES     in the working directory; bytes handed to write()
 *   sqlite_bench recover UPDATES         CPU time until the first answer on an unclean copy
 *
 * Syncs are off in `write` and `recover`: they change neither the bytes nor what a recovery must
 * read. */
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

/* ---- jobs ---- */

static const char insert_sql[] = "INSERT INTO jobs (id, payload) VALUES (?1, ?2)";
static const char claim_sql[] =
    "UPDATE jobs SET state = 1, attempt = attempt + 1, owner = 'worker', lease_until = ?1 WHERE "
    "id = (SELECT id FROM jobs WHERE state = 0 ORDER BY id LIMIT 1)";
static const char start_sql[] = "UPDATE jobs SET state = 2, lease_until = ?1 WHERE id = ?1";
static const char complete_sql[] = "UPDATE jobs SET state = 3 WHERE id = ?1";
static const char *const job_steps[] = {insert_sql, claim_sql, start_sql, complete_sql};
enum { JOB_STEPS = sizeof job_steps / sizeof job_steps[0] };

static void take_step(sqlite3_stmt *statement, sqlite3_int64 first, uint32_t group) {
    static const char payload[] = "{\"package\":\"com.example.app\",\"apk\":\"app-1.2.3.apk\"}";
    run("BEGIN IMMEDIATE");
    for (uint32_t i = 0; i < group; i++) {
        sqlite3_bind_int64(statement, 1, first + i);
        if (sqlite3_bind_parameter_count(statement) > 1) {
            sqlite3_bind_text(statement, 2, payload, -1, SQLITE_STATIC);
        }
        if (sqlite3_step(statement) != SQLITE_DONE) {
            fail("a job");
        }
        sqlite3_reset(statement);
    }
    run("COMMIT");
}

static void measure_jobs(uint32_t group, double seconds) {
    sqlite3_stmt *statements[JOB_STEPS];
    remove("jobs.db");
    remove("jobs.db-wal");
    remove("jobs.db-shm");
    if (sqlite3_open("jobs.db", &db) != SQLITE_OK) {
        fail("opening");
    }
    run("PRAGMA journal_mode = WAL");
    run("PRAGMA synchronous = FULL");
    run("CREATE TABLE jobs (id INTEGER PRIMARY KEY, state INT DEFAULT 0, attempt INT DEFAULT 0, "
        "lease_until INT, owner TEXT, payload TEXT)");
    run("CREATE INDEX waiting ON jobs (id) WHERE state = 0");
    for (int i = 0; i < JOB_STEPS; i++) {
        if (sqlite3_prepare_v2(db, job_steps[i], -1, &statements[i], NULL) != SQLITE_OK) {
            fail("preparing");
        }
    }
    double start = report_wall_seconds();
    sqlite3_int64 done = 0;
    while (report_wall_seconds() - start < seconds) {
        for (int i = 0; i < JOB_STEPS; i++) {
            take_step(statements[i], done, group);
        }
        done += group;
    }
    report("per_second", (double)done / (report_wall_seconds() - start));
    for (int i = 0; i < JOB_STEPS; i++) {
        sqlite3_finalize(statements[i]);
    }
    sqlite3_close(db);
}

int main(int argc, char **argv) {
    if (argc == 4 && strcmp(argv[1], "jobs") == 0) {
        measure_jobs((uint32_t)strtoul(argv[2], NULL, 10), strtod(argv[3], NULL));
    } else if (argc == 4 && strcmp(argv[1], "write") == 0) {
        measure_writes((uint32_t)strtoul(argv[2], NULL, 10), (uint32_t)strtoul(argv[3], NULL, 10));
    } else if (argc == 3 && strcmp(argv[1], "recover") == 0) {
        measure_recovery((uint32_t)strtoul(argv[2], NULL, 10));
    } else {
        fprintf(stderr, "usage: see the top of tests/bench/sqlite_bench.c\n");
        return 2;
    }
    return 0;
}
