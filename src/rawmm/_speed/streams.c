/* Per-token streams, as lists and packed, and encoded arrays. */
#include "speed.h"

int ints_of(PyObject *list, int64_t low, int64_t high) {
    PyObject **items = ((PyListObject *)list)->ob_item;
    if (low < 0) return 0;
    for (Py_ssize_t i = 0, size = PyList_GET_SIZE(list); i < size; i++) {
        int64_t value = natural(items[i]);
        if (value < low || value > high) return 0;
    }
    return 1;
}

int flags_of(PyObject *list) {
    PyObject **items = ((PyListObject *)list)->ob_item;
    int fine = 1;
    for (Py_ssize_t i = 0, size = PyList_GET_SIZE(list); i < size; i++)
        fine &= (items[i] == Py_True) | (items[i] == Py_False);
    return fine;
}

int numbers_of(PyObject *list) {
    PyObject **items = ((PyListObject *)list)->ob_item;
    for (Py_ssize_t i = 0, size = PyList_GET_SIZE(list); i < size; i++)
        if (!number(items[i])) return 0;
    return 1;
}

/* The size of an element by the name of its type, from the digits at its end: "float32". */
static int size_of(PyObject *dtype) {
    if (!dtype || !ascii(dtype)) return 0;
    int bits = 0;
    for (const char *at = characters(dtype); *at; at++) {
        if (*at >= '0' && *at <= '9') bits = bits * 10 + (*at - '0');
        else if (bits) return 0;
        if (bits > 64) return 0;
    }
    if (bits) return bits % 8 ? 0 : bits / 8;
    return PyUnicode_GET_LENGTH(dtype) == 4 && !memcmp(characters(dtype), "bool", 4);
}

static int packed_frame(int shape, PyObject *o, Stream *out) {
    /* The three classes have the same fields. */
    PyObject *nd = AT(o, shape, PackedTokenIds_nd), *dtype = AT(o, shape, PackedTokenIds_dtype),
             *lengths = AT(o, shape, PackedTokenIds_shape), *data = AT(o, shape, PackedTokenIds_data);
    if (nd != Py_True || !lengths || !PyList_CheckExact(lengths) || PyList_GET_SIZE(lengths) != 1 ||
        !data || !PyBytes_CheckExact(data) || !dtype)
        return 0;
    if (!one_of(SHAPE[shape].fields[PackedTokenIds_dtype].type->literals, dtype)) return 0;
    out->size = size_of(dtype);
    out->is_float = shape == S_PackedFloats;
    out->length = natural(PyList_GET_ITEM(lengths, 0));
    out->data = (const unsigned char *)PyBytes_AS_STRING(data);
    out->items = NULL;
    Py_ssize_t size = PyBytes_GET_SIZE(data);
    return out->size && size % out->size == 0 && size / out->size == out->length;
}

int stream(PyObject *o, Stream *out) {
    if (!o) return 0;
    if (PyList_CheckExact(o)) {
        *out = (Stream){PyList_GET_SIZE(o), 0, 0, NULL, ((PyListObject *)o)->ob_item};
        return 1;
    }
    int shape = IS(o, PackedTokenIds) ? S_PackedTokenIds
              : IS(o, PackedFlags)    ? S_PackedFlags
              : IS(o, PackedFloats)   ? S_PackedFloats
                                      : -1;
    return shape >= 0 && packed_frame(shape, o, out);
}

/* The rule `packed`: token ids are unsigned 32-bit integers, flags 0 or 1, floats finite. */
int packed_holds(int shape, PyObject *o) {
    Stream s;
    if (PY_BIG_ENDIAN || !packed_frame(shape, o, &s)) return 0;
    if (s.size == 1) {
        unsigned char all = 0;
        for (Py_ssize_t i = 0; i < s.length; i++) all |= s.data[i];
        return all <= 1;
    }
    if (s.size == 4) {
        uint32_t value, all = 0, wrong = 0;
        for (Py_ssize_t i = 0; i < s.length; i++) {
            memcpy(&value, s.data + 4 * i, 4);
            all |= value;
            wrong |= (value & 0x7f800000u) == 0x7f800000u;
        }
        return s.is_float ? !wrong : !(all >> 31);
    }
    uint64_t value, all = 0, wrong = 0;
    for (Py_ssize_t i = 0; i < s.length; i++) {
        memcpy(&value, s.data + 8 * i, 8);
        all |= value;
        wrong |= (value & 0x7ff0000000000000u) == 0x7ff0000000000000u;
    }
    return s.is_float ? !wrong : !(all >> 32);
}

/* The rule `array_size`: the bytes fill the shape. */
int array_holds(PyObject *o) {
    PyObject *shape = GET(o, EncodedArray, shape), *data = GET(o, EncodedArray, data);
    int64_t size = size_of(GET(o, EncodedArray, dtype)), total = size;
    if (!size || !shape || !PyList_CheckExact(shape) || !data || !PyBytes_CheckExact(data))
        return 0;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(shape); i++) {
        int64_t length = natural(PyList_GET_ITEM(shape, i));
        if (length < 0 || length > MAX_INT) return 0;
        if (length && total > INT64_MAX / length) return 0;
        total *= length;
    }
    return total == PyBytes_GET_SIZE(data);
}

/* The number of true flags; -1 if an element of a list is no flag. */
Py_ssize_t count_true(const Stream *mask) {
    Py_ssize_t found = 0;
    if (mask->items) {
        for (Py_ssize_t i = 0; i < mask->length; i++) {
            if (mask->items[i] == Py_True) found++;
            else if (mask->items[i] != Py_False) return -1;
        }
        return found;
    }
    if (mask->size != 1) return mask->length ? -1 : 0;
    for (Py_ssize_t i = 0; i < mask->length; i++) found += mask->data[i] == 1;
    return found;
}

/* One token id; -1 if it is none. */
static inline int64_t token(const Stream *ids, Py_ssize_t at) {
    if (ids->items) return natural(ids->items[at]);
    if (ids->size == 4) {
        int32_t value;
        memcpy(&value, ids->data + 4 * at, 4);
        return value;
    }
    int64_t value;
    memcpy(&value, ids->data + 8 * at, 8);
    return value;
}

/* Whether each token from `at` to `end` is `wanted` (or with `differs` another one). */
static int all_tokens(const Stream *ids, Py_ssize_t at, Py_ssize_t end, int64_t wanted, int differs) {
    if (!ids->items && ids->size == 4) { /* in a form that compilers vectorize */
        int wrong = 0;
        int32_t value, same = (int32_t)wanted;
        if (wanted > INT32_MAX) return differs || at == end;
        for (; at < end; at++) {
            memcpy(&value, ids->data + 4 * at, 4);
            wrong |= (value == same) == differs;
        }
        return !wrong;
    }
    for (; at < end; at++) {
        int64_t value = token(ids, at);
        if (value < 0 || (value == wanted) == differs) return 0;
    }
    return 1;
}

static int is_ids(const Stream *ids) {
    return ids->items || ids->length == 0 || (!PY_BIG_ENDIAN && ids->size >= 4 && !ids->is_float);
}

/* Whether `wanted` fills the ranges and occurs nowhere else. `start` is the offset of the first
 * token in its branch. */
int only_in_ranges(const Stream *ids, PyObject *ranges, int64_t start, int64_t wanted) {
    Py_ssize_t done = 0, number = ranges ? PyList_GET_SIZE(ranges) : 0;
    if (!is_ids(ids)) return 0;
    for (Py_ssize_t i = 0; i < number; i++) {
        int64_t first, length;
        if (!bounds(PyList_GET_ITEM(ranges, i), &first, &length)) return 0;
        first -= start;
        if (first < done || length > ids->length || first > ids->length - length) return 0;
        if (!all_tokens(ids, done, (Py_ssize_t)first, wanted, 1)) return 0;
        done = (Py_ssize_t)(first + length);
        if (!all_tokens(ids, (Py_ssize_t)first, done, wanted, 0)) return 0;
    }
    return all_tokens(ids, done, ids->length, wanted, 1);
}

/* Whether there are exactly `number` runs of `wanted`, and none of them is sampled. */
int has_runs(const Stream *ids, const Stream *mask, int64_t wanted, Py_ssize_t number) {
    if (!is_ids(ids)) return 0;
    if (!number) return all_tokens(ids, 0, ids->length, wanted, 1);
    if (mask->length != ids->length || (!mask->items && mask->size != 1)) return 0;
    Py_ssize_t found = 0;
    for (Py_ssize_t i = 0, before = 0; i < ids->length; i++) {
        int64_t value = token(ids, i);
        if (value < 0) return 0;
        if (value == wanted) {
            found += !before;
            if (mask->items ? mask->items[i] != Py_False : mask->data[i] != 0) return 0;
        }
        before = value == wanted;
    }
    return found == number;
}
