/* What one worker asks of Redis, asked by a C program: the yardstick for `bench --source stream`.
 *
 * The same commands as fastmail_ingest.stream.lanes: XREADGROUP over the three lanes on one connection,
 * EVALSHA of settle.lua on another; the next read goes out before the settle's reply is awaited.
 * It does what Python does with a mail as far as Redis is concerned: it takes the identity out of the
 * payload, and nothing else.
 *
 * usage: c_client SOCKET BASE SETTLE_SHA COUNT PROCESSES      (BASE is the keys' beginning: {prefix:0})
 * build: cc -O2 -o c_client c_client.c -lhiredis
 */
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define COUNT_MAX 1000
#define KEYS 9
#define FIXED_WORDS (3 + KEYS + 3) /* EVALSHA sha 9, 9 keys, group keep ttl */
#define COUNTS 8                    /* counts and sizes of three lanes, counts of delayed and dead */

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

/* The second element of a msgpack array: fixarray or array 16, a positive fixint, then a fixstr or str 8. */
static const char *identity(const redisReply *payload, size_t *length) {
    const unsigned char *at = (const unsigned char *)payload->str;
    at += *at == 0xdc ? 3 : 1;
    at += 1;
    if ((*at & 0xe0) == 0xa0) {
        *length = *at & 0x1f;
        return (const char *)at + 1;
    }
    *length = at[1];
    return (const char *)at + 2;
}

static redisContext *dial(const char *path) {
    redisContext *c = redisConnectUnix(path);
    if (!c || c->err) {
        fprintf(stderr, "cannot connect to %s\n", path);
        exit(1);
    }
    return c;
}

static void ask(redisContext *c, char keys[KEYS][96], const char *consumer, const char *count) {
    const char *words[] = {"XREADGROUP", "GROUP",   "workers", consumer, "COUNT", count, "BLOCK", "200",
                           "STREAMS",    keys[0],   keys[1],   keys[2],  ">",     ">",   ">"};
    redisAppendCommandArgv(c, 15, words, NULL);
    int done = 0;
    while (!done) redisBufferWrite(c, &done);
}

static redisReply *answer(redisContext *c) {
    redisReply *r = NULL;
    if (redisGetReply(c, (void **)&r) != REDIS_OK || r->type == REDIS_REPLY_ERROR) {
        fprintf(stderr, "redis: %s\n", r ? r->str : c->errstr);
        exit(1);
    }
    return r;
}

/* Entries of the live lane only: the filler puts all of them there. */
static size_t settle(redisContext *c, const char *sha, char keys[KEYS][96], const redisReply *items) {
    static const char *words[FIXED_WORDS + COUNTS + 2 * COUNT_MAX];
    static size_t lengths[FIXED_WORDS + COUNTS + 2 * COUNT_MAX];
    char number[16], size[24];
    size_t n = 0, count = items->elements, bytes = 0;
    for (size_t i = 0; i < count; i++) bytes += items->element[i]->element[1]->element[1]->len;
    snprintf(number, sizeof number, "%zu", count);
    snprintf(size, sizeof size, "%zu", bytes);
    const char *head[] = {"EVALSHA", sha, "9"};
    for (int i = 0; i < 3; i++) words[n++] = head[i];
    for (int i = 0; i < KEYS; i++) words[n++] = keys[i];
    words[n++] = "workers";
    words[n++] = "90";
    words[n++] = "10454400";
    words[n++] = "0";
    words[n++] = "0";
    words[n++] = number;
    words[n++] = size;
    for (size_t i = 0; i < n; i++) lengths[i] = strlen(words[i]);
    for (size_t i = 0; i < count; i++) {
        words[n] = items->element[i]->element[0]->str;
        lengths[n++] = items->element[i]->element[0]->len;
    }
    for (size_t i = 0; i < count; i++) {
        words[n] = identity(items->element[i]->element[1]->element[1], &lengths[n]);
        n++;
    }
    for (int i = 0; i < 4; i++) { /* backfill and its size, delayed, dead: none */
        words[n] = "0";
        lengths[n++] = 1;
    }
    redisAppendCommandArgv(c, (int)n, words, lengths);
    int done = 0;
    while (!done) redisBufferWrite(c, &done);
    return count;
}

static size_t work(char **argv, int number, int ready, int go) {
    char keys[KEYS][96], consumer[32];
    const char *names[] = {"again",        "live", "backfill", "queued", "delayed",
                           "delayed:body", "dead", "bytes",    "done"};
    for (int i = 0; i < KEYS; i++) snprintf(keys[i], 96, "%s:%s", argv[2], names[i]);
    snprintf(consumer, sizeof consumer, "c:%d", number);
    redisContext *reading = dial(argv[1]), *writing = dial(argv[1]);
    char byte = 1;
    if (write(ready, &byte, 1) != 1 || read(go, &byte, 1) != 1) exit(1);
    size_t total = 0;
    int settling = 0;
    ask(reading, keys, consumer, argv[4]);
    for (;;) {
        redisReply *batch = answer(reading);
        if (batch->type != REDIS_REPLY_ARRAY || batch->elements == 0) break;
        ask(reading, keys, consumer, argv[4]);
        if (settling) freeReplyObject(answer(writing));
        total += settle(writing, argv[3], keys, batch->element[0]->element[1]);
        settling = 1;
        freeReplyObject(batch);
    }
    if (settling) freeReplyObject(answer(writing));
    return total;
}

int main(int argc, char **argv) {
    if (argc != 6) {
        fprintf(stderr, "usage: c_client SOCKET BASE SETTLE_SHA COUNT PROCESSES\n");
        return 2;
    }
    int processes = atoi(argv[5]), ready[2], go[2], results[2];
    if (pipe(ready) || pipe(go) || pipe(results)) return 1;
    for (int i = 0; i < processes; i++) {
        if (fork() == 0) {
            double report[2];
            report[0] = (double)work(argv, i, ready[1], go[0]);
            report[1] = now();
            return write(results[1], report, sizeof report) != sizeof report;
        }
    }
    close(ready[1]); /* so that a child's death ends our reads */
    close(results[1]);
    char byte = 1;
    for (int i = 0; i < processes; i++)
        if (read(ready[0], &byte, 1) != 1) return 1;
    double begin = now(), end = begin;
    for (int i = 0; i < processes; i++)
        if (write(go[1], &byte, 1) != 1) return 1;
    double entries = 0, report[2];
    for (int i = 0; i < processes; i++) {
        if (read(results[0], report, sizeof report) != sizeof report) return 1;
        entries += report[0];
        if (report[1] > end) end = report[1];
    }
    while (wait(NULL) > 0) {}
    end -= 0.2; /* the last read of each process waits its BLOCK in vain */
    printf("{\"entries\": %.0f, \"seconds\": %.4f, \"entries_per_s\": %.0f, \"procs\": %d}\n", entries, end - begin,
           entries / (end - begin), processes);
    return 0;
}
