/* A keyed hash of texts, by carry-less multiplication, with a secret key. `store/text_hash.py` defines
 * it, and derives the bound on its collisions. */
#include "speed.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

enum { HALF = 64 }; /* bytes between the two factors of a product */

/* A product before its reduction: bits 0 to 127, 128 to 255, and 64 to 191. */
typedef struct {
    __m128i low, high, middle;
} Product;

#define WITH(features) __attribute__((target(features)))
#define LOAD(at) _mm_loadu_si128((const __m128i *)(at))
#define ADD(a, b) _mm_xor_si128(a, b)

WITH("pclmul") static inline Product product(__m128i a, __m128i b) {
    return (Product){_mm_clmulepi64_si128(a, b, 0x00), _mm_clmulepi64_si128(a, b, 0x11),
                     ADD(_mm_clmulepi64_si128(a, b, 0x01), _mm_clmulepi64_si128(a, b, 0x10))};
}

WITH("pclmul") static inline Product sum(Product a, Product b) {
    return (Product){ADD(a.low, b.low), ADD(a.high, b.high), ADD(a.middle, b.middle)};
}

/* Modulo x^128 + x^7 + x^2 + x + 1: each of the two upper words goes down by 128 bits, times 0x87. */
WITH("pclmul") static inline __m128i reduced(Product p) {
    const __m128i rest = _mm_cvtsi32_si128(0x87);
    __m128i low = ADD(p.low, _mm_slli_si128(p.middle, 8));
    __m128i high = ADD(p.high, _mm_srli_si128(p.middle, 8));
    __m128i top = _mm_clmulepi64_si128(high, rest, 0x01);
    low = ADD(low, _mm_slli_si128(top, 8));
    high = ADD(high, _mm_srli_si128(top, 8));
    return ADD(low, _mm_clmulepi64_si128(high, rest, 0x00));
}

/* The value of a group before its reduction, and whether a quote is in it. */
typedef struct {
    Product sum;
    int quoted;
} Group;

WITH("pclmul") static inline Group group_16(const unsigned char *key, const unsigned char *text) {
    Product all = {_mm_setzero_si128(), _mm_setzero_si128(), _mm_setzero_si128()};
    __m128i quote = _mm_set1_epi8('"'), found = _mm_setzero_si128();
    for (int begin = 0; begin < TEXT_GROUP; begin += 2 * HALF)
        for (int at = begin; at < begin + HALF; at += 16) {
            __m128i a = LOAD(text + at), b = LOAD(text + at + HALF);
            found = _mm_or_si128(found, _mm_or_si128(_mm_cmpeq_epi8(a, quote), _mm_cmpeq_epi8(b, quote)));
            all = sum(all, product(ADD(a, LOAD(key + at)), ADD(b, LOAD(key + at + HALF))));
        }
    return (Group){all, _mm_movemask_epi8(found)};
}

/* The same, two products at a time. */
#define FEATURES_32 "pclmul,avx2,vpclmulqdq"
#define LOAD_2(at) _mm256_loadu_si256((const __m256i *)(at))
#define ADD_2(a, b) _mm256_xor_si256(a, b)
#define FOLDED(a) ADD(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1))

WITH(FEATURES_32) static inline Group group_32(const unsigned char *key, const unsigned char *text) {
    __m256i low = _mm256_setzero_si256(), high = low, one = low, other = low;
    __m256i quote = _mm256_set1_epi8('"'), found = low;
    for (int begin = 0; begin < TEXT_GROUP; begin += 2 * HALF)
        for (int at = begin; at < begin + HALF; at += 32) {
            __m256i a = LOAD_2(text + at), b = LOAD_2(text + at + HALF);
            found = _mm256_or_si256(found, _mm256_cmpeq_epi8(a, quote));
            found = _mm256_or_si256(found, _mm256_cmpeq_epi8(b, quote));
            a = ADD_2(a, LOAD_2(key + at));
            b = ADD_2(b, LOAD_2(key + at + HALF));
            low = ADD_2(low, _mm256_clmulepi64_epi128(a, b, 0x00));
            high = ADD_2(high, _mm256_clmulepi64_epi128(a, b, 0x11));
            one = ADD_2(one, _mm256_clmulepi64_epi128(a, b, 0x01));
            other = ADD_2(other, _mm256_clmulepi64_epi128(a, b, 0x10));
        }
    Product all = {FOLDED(low), FOLDED(high), FOLDED(ADD_2(one, other))};
    return (Group){all, _mm256_movemask_epi8(found)};
}

/* The same, four products at a time. */
#define FEATURES_64 "pclmul,avx512f,avx512bw,vpclmulqdq"
#define LOAD_4(at) _mm512_loadu_si512(at)
#define ADD_4(a, b) _mm512_xor_si512(a, b)
#define FOLDED_4(a) FOLDED(ADD_2(_mm512_castsi512_si256(a), _mm512_extracti64x4_epi64(a, 1)))

WITH(FEATURES_64) static inline Group group_64(const unsigned char *key, const unsigned char *text) {
    __m512i low = _mm512_setzero_si512(), high = low, one = low, other = low;
    __m512i quote = _mm512_set1_epi8('"');
    uint64_t found = 0;
    for (int at = 0; at < TEXT_GROUP; at += 2 * HALF) {
        __m512i a = LOAD_4(text + at), b = LOAD_4(text + at + HALF);
        found |= _mm512_cmpeq_epi8_mask(a, quote) | _mm512_cmpeq_epi8_mask(b, quote);
        a = ADD_4(a, LOAD_4(key + at));
        b = ADD_4(b, LOAD_4(key + at + HALF));
        low = ADD_4(low, _mm512_clmulepi64_epi128(a, b, 0x00));
        high = ADD_4(high, _mm512_clmulepi64_epi128(a, b, 0x11));
        one = ADD_4(one, _mm512_clmulepi64_epi128(a, b, 0x01));
        other = ADD_4(other, _mm512_clmulepi64_epi128(a, b, 0x10));
    }
    Product all = {FOLDED_4(low), FOLDED_4(high), FOLDED_4(ADD_4(one, other))};
    return (Group){all, found != 0};
}

/* Hash a text, if wished up to a quote. Returns the bytes that were hashed. */
#define HASH(name, features, group)                                                              \
    WITH(features)                                                                               \
    static size_t name(const unsigned char *key, const unsigned char *text, size_t size,         \
                       int to_quote, unsigned char *digest) {                                    \
        const __m128i point = LOAD(key + TEXT_GROUP);                                            \
        __m128i hash = _mm_setzero_si128();                                                      \
        size_t at = 0;                                                                           \
        for (; size - at >= TEXT_GROUP; at += TEXT_GROUP) {                                      \
            Group one = group(key, text + at);                                                   \
            if (to_quote && one.quoted) break;                                                   \
            hash = reduced(sum(product(hash, point), one.sum));                                  \
        }                                                                                        \
        if (to_quote) size = quote_at(text, at, size);                                           \
        if (at < size) {                                                                         \
            unsigned char last[TEXT_GROUP] = {0};                                                \
            memcpy(last, text + at, size - at);                                                  \
            hash = reduced(sum(product(hash, point), group(key, last).sum));                     \
        }                                                                                        \
        hash = ADD(reduced(product(hash, point)), _mm_set_epi64x(0, (long long)size));           \
        _mm_storeu_si128((__m128i *)digest, hash);                                               \
        return size;                                                                             \
    }

/* The position of the first quote from `at` on, which is in the next group, or the size. Never beyond
 * the group: another process may remove the quote from shared memory. */
static size_t quote_at(const unsigned char *text, size_t at, size_t size) {
    size_t some = size - at < TEXT_GROUP ? size - at : TEXT_GROUP;
    const unsigned char *found = some ? memchr(text + at, '"', some) : NULL;
    return found ? (size_t)(found - text) : at + some;
}

HASH(hash_16, "pclmul", group_16)
HASH(hash_32, FEATURES_32, group_32)
HASH(hash_64, FEATURES_64, group_64)

int text_hash_width(void) {
    if (!__builtin_cpu_supports("pclmul")) return 0;
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("vpclmulqdq")) return 16;
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") ? 64 : 32;
}

static size_t hash(int width, const unsigned char *key, const unsigned char *text, size_t size,
                   int to_quote, unsigned char *digest) {
    return (width == 64 ? hash_64 : width == 32 ? hash_32 : hash_16)(key, text, size, to_quote, digest);
}
#else
int text_hash_width(void) { return 0; }
static size_t hash(int width, const unsigned char *key, const unsigned char *text, size_t size,
                   int to_quote, unsigned char *digest) {
    (void)width, (void)key, (void)text, (void)to_quote, (void)digest;
    return size;
}
#endif

enum { DIGEST = 16 };
static unsigned char secret[TEXT_KEY];
static int has_secret;

/* A key that no other process knows, but the children that this one forks. Python never sees it. */
static int make_secret(void) {
    PyObject *os = PyImport_ImportModule("os");
    PyObject *bytes = os ? PyObject_CallMethod(os, "urandom", "i", TEXT_KEY) : NULL;
    Py_XDECREF(os);
    if (bytes && PyBytes_CheckExact(bytes) && PyBytes_GET_SIZE(bytes) == TEXT_KEY) {
        /* Another thread may have been here meanwhile. */
        if (!has_secret) memcpy(secret, PyBytes_AS_STRING(bytes), TEXT_KEY);
        has_secret = 1;
    } else if (bytes) {
        PyErr_SetString(PyExc_RuntimeError, "os.urandom returned something else");
    }
    Py_XDECREF(bytes);
    return has_secret;
}

/* The digest of a text of ASCII or of a buffer from `start` on; None for another text. To a quote:
 * the end and the digest, or None if there is no quote. */
static PyObject *digest_of(PyObject *text, Py_ssize_t start, const unsigned char *key, int width,
                           int to_quote) {
    unsigned char digest[DIGEST];
    Py_buffer view = {0};
    const unsigned char *bytes;
    Py_ssize_t size;
    if (ascii(text)) {
        bytes = (const unsigned char *)characters(text);
        size = PyUnicode_GET_LENGTH(text);
    } else if (PyUnicode_Check(text)) {
        Py_RETURN_NONE;
    } else {
        if (PyObject_GetBuffer(text, &view, PyBUF_SIMPLE) < 0) return NULL;
        bytes = view.buf;
        size = view.len;
    }
    start = Py_MIN(Py_MAX(start, 0), size);
    /* The lock of the interpreter is kept. To get it back can take longer than the hash. */
    Py_ssize_t end = start;
    end += (Py_ssize_t)hash(width, key, bytes + start, (size_t)(size - start), to_quote, digest);
    if (view.obj) PyBuffer_Release(&view);
    if (!to_quote) return PyBytes_FromStringAndSize((const char *)digest, DIGEST);
    if (end == size) Py_RETURN_NONE;
    return Py_BuildValue("ny#", end, digest, (Py_ssize_t)DIGEST);
}

static PyObject *secret_digest(PyObject *args, int to_quote) {
    PyObject *text;
    Py_ssize_t start;
    if (!PyArg_ParseTuple(args, "On", &text, &start)) return NULL;
    int width = text_hash_width();
    if (!width) Py_RETURN_NONE;
    if (!has_secret && !make_secret()) return NULL;
    return digest_of(text, start, secret, width, to_quote);
}

PyObject *text_digest(PyObject *Py_UNUSED(module), PyObject *args) { return secret_digest(args, 0); }

PyObject *digest_to_quote(PyObject *Py_UNUSED(module), PyObject *args) { return secret_digest(args, 1); }

PyObject *keyed_digest(PyObject *Py_UNUSED(module), PyObject *args) {
    const unsigned char *key;
    Py_ssize_t size, start;
    int width, to_quote;
    PyObject *text;
    if (!PyArg_ParseTuple(args, "y#iOnp", &key, &size, &width, &text, &start, &to_quote)) return NULL;
    if (size == TEXT_KEY && (width == 16 || width == 32 || width == 64) && width <= text_hash_width())
        return digest_of(text, start, key, width, to_quote);
    PyErr_SetString(PyExc_ValueError, "a key of another size, or a width that is not there");
    return NULL;
}
