/* Fast checks of structs, and a hash of texts (text_hash.c).
 *
 * A check returns 1 only if the Python code would accept the value. It returns 0 for an invalid value
 * and for one that it does not know; the Python code then decides, and reports the error. Checks run
 * no Python code, so the objects do not change meanwhile, and keep no references. */
#ifndef RAWMM_SPEED_H
#define RAWMM_SPEED_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#ifdef Py_GIL_DISABLED
#error "the tables and the checked objects are read without locks"
#endif
#include <math.h>
#include <stdint.h>
#include <string.h>

enum {
    NONE = 1, UNSET = 2, TRUE = 4, FALSE = 8, INT = 16, FLOAT = 32, STR = 64, BYTES = 128,
    LIST = 256, DICT = 512, STRUCT = 1024,
    ANY = 2048,     /* free JSON, which a rule checks */
    UNKNOWN = 4096, /* the unknown properties of an open object */
    NEVER = 8192    /* no value: Python decides */
};
enum { DESCRIPTOR = 1, FREE = 2, NUMBERS = 4 }; /* flags of fields that rules read */
/* What `valid` answers: that a struct is, and what is in it. */
enum { VALID = 1, HAS_EXTRA = 2, HAS_LISTS = 4, HAS_PACKED = 8 };

/* Texts of ASCII: tables of the first character and of the others, and lengths. */
typedef struct {
    const unsigned char *first, *rest;
    Py_ssize_t shortest, longest;
} Text;

typedef struct Type {
    unsigned kinds;
    int64_t low, high;           /* of an integer */
    Py_ssize_t most;             /* items of a list; 0 if any number */
    const Text *text;            /* of a string; NULL if any */
    const char *const *literals; /* of a string; NULL if any */
    const struct Type *item;     /* of a list, or the values of a dict */
    const struct Type *key;      /* of a dict; NULL if any string */
    uint64_t structs;            /* a bit for each shape */
} Type;

typedef struct {
    const char *name, *wire;
    const Type *type;
    unsigned flags;
} Field;

typedef struct {
    const char *name;
    const Field *fields;
    int size;
    const unsigned char *rules;
    int number_of_rules;
} Shape;

#include "tables.h"
extern const Shape SHAPE[SHAPES];
_Static_assert(sizeof(Py_ssize_t) == sizeof(int64_t), "lengths are cast from one to the other");
_Static_assert(SHAPES <= 64 && MAX_FIELDS < 64, "sets of shapes and of fields are uint64_t");
_Static_assert(S_PackedTokenIds == 0 && S_PackedFlags == 1 && S_PackedFloats == 2,
               "loops over the packed shapes, and comparisons with the last one");
#define SAME(field)                                          \
    ((int)PackedFlags_##field == (int)PackedTokenIds_##field && \
     (int)PackedFloats_##field == (int)PackedTokenIds_##field)
_Static_assert(SAME(nd) && SAME(dtype) && SAME(shape) && SAME(data),
               "fields of the three packed shapes are read by the names of the first");
static const uint64_t PACKED_SHAPES = 1 << S_PackedTokenIds | 1 << S_PackedFlags | 1 << S_PackedFloats;
extern const char *const PROCESSED_KEYS[];

/* What `setup` was given. */
typedef struct {
    PyTypeObject *kind[SHAPES];
    Py_ssize_t at[SHAPES][MAX_FIELDS]; /* offsets of the fields in an instance */
    PyObject *unset, *extra, *raw;
    PyObject *checks, *by_itself;              /* MediaChecks: the variable, and its default */
    PyObject *in_messages, *token_types, *image; /* the tables of modalities, and one entry */
} Setup;
extern Setup setup;

#define AT(object, shape, field) (*(PyObject **)((char *)(object) + setup.at[shape][field]))
#define GET(object, shape, field) AT(object, S_##shape, shape##_##field)
#define IS(object, shape) (Py_TYPE(object) == setup.kind[S_##shape])
#define ABSENT(value) ((value) == setup.unset || (value) == Py_None)

static const int64_t MAX_INT = (1ll << 53) - 1;

/* An exact int from 0 to 2^53-1 or somewhat more; -1 for any other object. */
static inline int64_t natural(PyObject *o) {
    if (!PyLong_CheckExact(o)) return -1;
#if PY_VERSION_HEX >= 0x030C0000
    if (PyUnstable_Long_IsCompact((PyLongObject *)o)) {
        Py_ssize_t value = PyUnstable_Long_CompactValue((PyLongObject *)o);
        return value < 0 ? -1 : value;
    }
    int overflow;
    long long value = PyLong_AsLongLongAndOverflow(o, &overflow);
    return overflow || value < 0 ? -1 : value;
#else
    const digit *digits = ((PyLongObject *)o)->ob_digit;
    switch (Py_SIZE(o)) {
        case 0: return 0;
        case 1: return digits[0];
        case 2: return (int64_t)digits[1] << PyLong_SHIFT | digits[0];
        default: return -1;
    }
#endif
}

/* An exact, finite float that no integer beyond 2^53 was rounded to. */
static inline int number(PyObject *o) {
    return PyFloat_CheckExact(o) && fabs(PyFloat_AS_DOUBLE(o)) <= (double)MAX_INT;
}

/* An exact str of ASCII, of which characters() are the bytes. */
static inline int ascii(PyObject *o) {
    return PyUnicode_CheckExact(o) && PyUnicode_IS_COMPACT_ASCII(o);
}
static inline const char *characters(PyObject *o) { return (const char *)PyUnicode_DATA(o); }

int shape_of(PyTypeObject *kind); /* -1 if it is none of the tables */

/* values.c */
int matches(const Text *text, PyObject *o);
int one_of(const char *const *literals, PyObject *o);
int same_text(PyObject *one, PyObject *other);
int processed_key(PyObject *key);
int clean(PyObject *value, int descriptor, int depth);
int names_image(PyObject *locator, PyObject *sha256);
PyObject *entry(PyObject *by_name, PyObject *name, int *fine);

/* streams.c */
typedef struct {
    Py_ssize_t length;
    int size;                  /* of one element in `data`; 0 for a list */
    int is_float;
    const unsigned char *data; /* of a packed stream */
    PyObject **items;          /* of a list */
} Stream;
int ints_of(PyObject *list, int64_t low, int64_t high);
int flags_of(PyObject *list);
int numbers_of(PyObject *list);
int stream(PyObject *o, Stream *out);
int packed_holds(int shape, PyObject *o);
int array_holds(PyObject *o);
Py_ssize_t count_true(const Stream *mask);
int only_in_ranges(const Stream *ids, PyObject *ranges, int64_t start, int64_t wanted);
int has_runs(const Stream *ids, const Stream *mask, int64_t wanted, Py_ssize_t number);

/* rules.c */
int rules_hold(int shape, PyObject *o, int numbers_are_checked);
Py_ssize_t image_urls(PyObject *message, PyObject *hashes);
PyObject *image_ranges(PyObject *sidecar, int *fine);
int by_itself(void);
int messages_as_known(void);
int bounds(PyObject *range, int64_t *offset, int64_t *length);

/* graph.c */
int graph_holds(PyObject *trace);

/* packing.c */
PyObject *packed_of(int shape, PyObject *source);
PyObject *list_of(int shape, PyObject *source);

/* decoding.c */
int read_streams(int shape, PyObject *o, uint64_t fields, int as_lists);
uint64_t stream_fields(int shape);
void untrack_streams(int shape, PyObject *o, uint64_t fields);
int fields_fit(int shape, PyObject *o, uint64_t fields);
uint64_t checkable_fields(int shape);

/* keys.c */
int keys_are_unique(const char *text, Py_ssize_t size);

/* text_hash.c */
enum { TEXT_GROUP = 1024, TEXT_KEY = TEXT_GROUP + 16 }; /* bytes */
int text_hash_width(void);
PyObject *text_digest(PyObject *module, PyObject *args);
PyObject *digest_to_quote(PyObject *module, PyObject *args);
PyObject *keyed_digest(PyObject *module, PyObject *args);

/* types.c */
int value_fits(const Type *type, PyObject *o);
int struct_holds(int shape, PyObject *o, int *seen);

#endif
