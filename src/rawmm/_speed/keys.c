/* Whether the objects of a JSON text have each key once. */
#include "speed.h"

enum { MOST_DEPTH = 128, MOST_KEYS = 4096, MOST_OF_ONE = 64 };

/* The next occurrence of a character from `at` on; `end` if there is none. */
typedef struct {
    int wanted;
    const char *found;
} Next;

static const char *next(Next *one, const char *at, const char *end) {
    if (one->found < at) {
        const char *found = memchr(at, one->wanted, (size_t)(end - at));
        one->found = found ? found : end;
    }
    return one->found;
}

/* The quote that ends a string whose first character is at `at`; NULL if there is none. */
static const char *end_of_string(const char *at, const char *end) {
    for (const char *from = at;;) {
        const char *quote = memchr(from, '"', (size_t)(end - from));
        if (!quote) return NULL;
        const char *slash = quote;
        while (slash > at && slash[-1] == '\\') slash--;
        if ((quote - slash) % 2 == 0) return quote;
        from = quote + 1;
    }
}

static uint64_t hashed(const char *at, const char *end) {
    uint64_t hash = 0xcbf29ce484222325u ^ (uint64_t)(end - at);
    for (; at < end; at++) hash = (hash ^ (unsigned char)*at) * 0x100000001b3u;
    return hash;
}

/* 1 if so. 0 if a key repeats, and also if a key has an escape, two keys have one hash, or there is no
 * room: Python decides. `text` is valid JSON; in another text, nothing beyond its end is read. */
int keys_are_unique(const char *text, Py_ssize_t size) {
    uint64_t keys[MOST_KEYS];
    int first[MOST_DEPTH], depth = 0, used = 0;
    const char *at = text, *end = text + size;
    if (!size) return 0;
    /* Streams of numbers have none of these three, and memchr is fast. */
    Next quote = {'"', text - 1}, open = {'{', text - 1}, close = {'}', text - 1};
    while (at < end) {
        const char *string = next(&quote, at, end), *opened = next(&open, at, end),
                   *closed = next(&close, at, end);
        if (opened < string && opened < closed) {
            if (++depth == MOST_DEPTH) return 0;
            first[depth] = used;
            at = opened + 1;
        } else if (closed < string) {
            if (!depth) return 0;
            used = first[depth--];
            at = closed + 1;
        } else if (string == end) {
            break;
        } else {
            const char *last = end_of_string(string + 1, end);
            if (!last) return 0;
            at = last + 1;
            while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r')) at++;
            if (at == end || *at != ':') continue; /* a value */
            if (!depth || used == MOST_KEYS || used - first[depth] == MOST_OF_ONE) return 0;
            if (memchr(string + 1, '\\', (size_t)(last - string - 1))) return 0;
            uint64_t hash = hashed(string + 1, last);
            for (int i = first[depth]; i < used; i++)
                if (keys[i] == hash) return 0;
            keys[used++] = hash;
        }
    }
    return !depth;
}
