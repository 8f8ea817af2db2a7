/* A keyed hash of texts, by carry-less multiplication, with a secret key. `store/text_hash.py` defines
 * it, and derives the bound on its collisions. */
#include "speed.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

enum { HALF = 64, STRETCH = 2 * HALF };

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

WITH("pclmul") static inline Product group_16(const unsigned char *key, const unsigned char *text) {
    Product all = {_mm_setzero_si128(), _mm_setzero_si128(), _mm_setzero_si128()};
    for (int begin = 0; begin < TEXT_GROUP; begin += 2 * HALF)
        for (int at = begin; at < begin + HALF; at += 16)
            all = sum(all, product(ADD(LOAD(text + at), LOAD(key + at)),
                                   ADD(LOAD(text + at + HALF), LOAD(key + at + HALF))));
    return all;
}

/* The same, two products at a time. */
#define WIDE WITH("pclmul,avx2,vpclmulqdq") static inline
#define LOAD_2(at) _mm256_loadu_si256((const __m256i *)(at))
#define ADD_2(a, b) _mm256_xor_si256(a, b)
#define FOLDED(a) ADD(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1))

WIDE Product group_32(const unsigned char *key, const unsigned char *text) {
    __m256i low = _mm256_setzero_si256(), high = low, one = low, other = low;
    for (int begin = 0; begin < TEXT_GROUP; begin += 2 * HALF)
        for (int at = begin; at < begin + HALF; at += 32) {
            __m256i a = ADD_2(LOAD_2(text + at), LOAD_2(key + at));
            __m256i b = ADD_2(LOAD_2(text + at + HALF), LOAD_2(key + at + HALF));
            low = ADD_2(low, _mm256_clmulepi64_epi128(a, b, 0x00));
            high = ADD_2(high, _mm256_clmulepi64_epi128(a, b, 0x11));
            one = ADD_2(one, _mm256_clmulepi64_epi128(a, b, 0x01));
            other = ADD_2(other, _mm256_clmulepi64_epi128(a, b, 0x10));
        }
    return (Product){FOLDED(low), FOLDED(high), FOLDED(ADD_2(one, other))};
}

#define HASH(name, features, group)                                                              \
    WITH(features)                                                                               \
    static void name(const unsigned char *key, const unsigned char *text, size_t size,           \
                     unsigned char *digest) {                                                    \
        const __m128i point = LOAD(key + TEXT_GROUP);                                            \
        __m128i hash = _mm_set_epi64x(0, (long long)size);                                       \
        for (; size >= TEXT_GROUP; text += TEXT_GROUP, size -= TEXT_GROUP)                       \
            hash = reduced(sum(product(hash, point), group(key, text)));                         \
        if (size) {                                                                              \
            unsigned char last[TEXT_GROUP] = {0};                                                \
            memcpy(last, text, size);                                                            \
            hash = reduced(sum(product(hash, point), group(key, last)));                         \
        }                                                                                        \
        _mm_storeu_si128((__m128i *)digest, hash);                                               \
    }
HASH(hash_16, "pclmul", group_16)
HASH(hash_32, "pclmul,avx2,vpclmulqdq", group_32)

int text_hash_width(void) {
    if (!__builtin_cpu_supports("pclmul")) return 0;
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("vpclmulqdq") ? 32 : 16;
}

static void hash(int width, const unsigned char *key, const unsigned char *text, size_t size,
                 unsigned char *digest) {
    (width == 32 ? hash_32 : hash_16)(key, text, size, digest);
}
#else
int text_hash_width(void) { return 0; }
static void hash(int width, const unsigned char *key, const unsigned char *text, size_t size,
                 unsigned char *digest) {
    (void)width, (void)key, (void)text, (void)size, (void)digest;
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
        memcpy(secret, PyBytes_AS_STRING(bytes), TEXT_KEY);
        has_secret = 1;
    } else if (bytes) {
        PyErr_SetString(PyExc_RuntimeError, "os.urandom returned something else");
    }
    Py_XDECREF(bytes);
    return has_secret;
}

/* The digest of a text of ASCII or of a buffer from `start` on; None for another text. */
static PyObject *digest_of(PyObject *text, Py_ssize_t start, const unsigned char *key, int width) {
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
    hash(width, key, bytes + start, (size_t)(size - start), digest);
    if (view.obj) PyBuffer_Release(&view);
    return PyBytes_FromStringAndSize((const char *)digest, DIGEST);
}

PyObject *text_digest(PyObject *Py_UNUSED(module), PyObject *args) {
    PyObject *text;
    Py_ssize_t start;
    if (!PyArg_ParseTuple(args, "On", &text, &start)) return NULL;
    int width = text_hash_width();
    if (!width) Py_RETURN_NONE;
    if (!has_secret && !make_secret()) return NULL;
    return digest_of(text, start, secret, width);
}

PyObject *keyed_digest(PyObject *Py_UNUSED(module), PyObject *args) {
    const unsigned char *key;
    Py_ssize_t size, start;
    int width;
    PyObject *text;
    if (!PyArg_ParseTuple(args, "y#iOn", &key, &size, &width, &text, &start)) return NULL;
    if (size == TEXT_KEY && (width == 16 || width == 32) && width <= text_hash_width())
        return digest_of(text, start, key, width);
    PyErr_SetString(PyExc_ValueError, "a key of another size, or a width that is not there");
    return NULL;
}
