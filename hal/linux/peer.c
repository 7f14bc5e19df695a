#include "hal/linux/peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ESTABLISHED "01"

enum { LINE_BYTES = 256 };

/* The next word of a line; empty at its end. */
static struct bytes take_word(const char **line) {
    *line += strspn(*line, " ");
    struct bytes word = {(const uint8_t *)*line, strcspn(*line, " ")};
    *line += word.size;
    return word;
}

static bool is_text(struct bytes word, const char *text) {
    return word.size == strlen(text) && memcmp(word.data, text, word.size) == 0;
}

/* A decimal number of at most 64 bits, as the kernel prints it; 0: none. */
static uint64_t number_of(struct bytes word) {
    uint64_t number = 0;
    for (size_t i = 0; i < word.size && word.data[i] >= '0' && word.data[i] <= '9'; i++) {
        number = number * 10 + (uint64_t)(word.data[i] - '0');
    }
    return number;
}

/* Whether a word is this port of 127.0.0.1. The kernel prints each word of an address in its own
 * byte order. */
static bool is_here(struct bytes word, uint16_t port) {
    char plain[16];
    char mapped[48];
    snprintf(plain, sizeof plain, "%08" PRIX32 ":%04X", (uint32_t)htonl(INADDR_LOOPBACK), port);
    snprintf(mapped, sizeof mapped, "%016d%08" PRIX32 "%s", 0, (uint32_t)htonl(0xffff), plain);
    return is_text(word, plain) || is_text(word, mapped);
}

bool peer_reads_row(const char *line, uint16_t local, uint16_t remote, uint32_t *user) {
    enum { LOCAL = 1, REMOTE, STATE, USER = 7, INODE = 9, WORDS };
    struct bytes words[WORDS];
    for (size_t i = 0; i < WORDS; i++) {
        words[i] = take_word(&line);
    }
    uint64_t found = number_of(words[USER]);
    if (!is_here(words[LOCAL], local) || !is_here(words[REMOTE], remote) ||
        !is_text(words[STATE], ESTABLISHED) || number_of(words[INODE]) == 0 || found > UINT32_MAX) {
        return false;
    }
    *user = (uint32_t)found;
    return true;
}

/* Lines in turn, of any file; what is longer than `line` is cut. False: the end. */
struct lines {
    int file;
    size_t at, size;
    char part[4096];
};

static bool next_line(struct lines *lines, char line[LINE_BYTES]) {
    size_t used = 0;
    while (true) {
        if (lines->at == lines->size) {
            ssize_t count = read(lines->file, lines->part, sizeof lines->part);
            if (count <= 0) {
                return false;
            }
            lines->at = 0;
            lines->size = (size_t)count;
        }
        char byte = lines->part[lines->at++];
        if (byte == '\n') {
            line[used] = '\0';
            return true;
        }
        if (used + 1 < LINE_BYTES) {
            line[used++] = byte;
        }
    }
}

static enum status find_in(const char *path, uint16_t local, uint16_t remote, uint32_t *user) {
    struct lines lines = {.file = open(path, O_RDONLY | O_CLOEXEC)};
    char line[LINE_BYTES];
    if (lines.file < 0) {
        return errno == ENOENT ? STATUS_NOT_FOUND : STATUS_IO; /* there may be no IPv6 */
    }
    enum status status = STATUS_NOT_FOUND;
    while (status != STATUS_OK && next_line(&lines, line)) {
        status = peer_reads_row(line, local, remote, user) ? STATUS_OK : STATUS_NOT_FOUND;
    }
    close(lines.file);
    return status;
}

static enum status tcp_user(int socket, uint32_t *user) {
    struct sockaddr_in ends[2] = {{.sin_family = AF_UNSPEC}};
    socklen_t sizes[2] = {sizeof ends[0], sizeof ends[1]};
    if (getpeername(socket, (struct sockaddr *)&ends[0], &sizes[0]) != 0 ||
        getsockname(socket, (struct sockaddr *)&ends[1], &sizes[1]) != 0) {
        return STATUS_NOT_FOUND; /* it has left */
    }
    for (size_t i = 0; i < 2; i++) {
        if (ends[i].sin_family != AF_INET || ends[i].sin_addr.s_addr != htonl(INADDR_LOOPBACK)) {
            return STATUS_NOT_FOUND;
        }
    }
    uint16_t local = ntohs(ends[0].sin_port);
    uint16_t remote = ntohs(ends[1].sin_port);
    enum status status = find_in("/proc/net/tcp", local, remote, user);
    return status == STATUS_NOT_FOUND ? find_in("/proc/net/tcp6", local, remote, user) : status;
}

enum status peer_user(int socket, uint32_t *user) {
    struct ucred who;
    socklen_t size = sizeof who;
    int domain = 0;
    socklen_t domain_size = sizeof domain;
    if (getsockopt(socket, SOL_SOCKET, SO_DOMAIN, &domain, &domain_size) != 0) {
        return STATUS_IO;
    }
    if (domain != AF_UNIX) {
        return tcp_user(socket, user);
    }
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &who, &size) != 0) {
        return STATUS_IO;
    }
    *user = who.uid;
    return STATUS_OK;
}
