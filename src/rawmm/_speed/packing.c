/* Per-token streams as the bytes of one array or as lists, from lists and from lists as they stand in
 * JSON and MessagePack. NULL without an exception: Python decides.
 *
 * The bytes may be memory that another process changes. So a byte whose value decides on a size is
 * read once, and each write is checked against the allocated length. */
#include "speed.h"

typedef struct {
    const unsigned char *at, *end;
    Py_ssize_t length; /* elements that the list has, or of JSON at most */
} Wire;

static inline uint64_t big_endian(const unsigned char *at, int size) {
    uint64_t value = 0;
    for (int i = 0; i < size; i++) value = value << 8 | at[i];
    return value;
}

/* The head of an array of MessagePack. */
static int open_msgpack(Wire *w) {
    Py_ssize_t left = w->end - w->at;
    if (left >= 1 && (w->at[0] & 0xf0) == 0x90) {
        w->length = w->at[0] & 15;
        w->at += 1;
    } else if (left >= 3 && w->at[0] == 0xdc) {
        w->length = (Py_ssize_t)big_endian(w->at + 1, 2);
        w->at += 3;
    } else if (left >= 5 && w->at[0] == 0xdd) {
        w->length = (Py_ssize_t)big_endian(w->at + 1, 4);
        w->at += 5;
    } else return 0;
    return w->length <= w->end - w->at; /* an element takes a byte or more */
}

/* An array of JSON without spaces. Its elements are before `end`, where the bracket stands. */
static int open_json(Wire *w) {
    if (w->end - w->at < 2 || w->at[0] != '[' || w->end[-1] != ']') return 0;
    w->at++;
    w->end--;
    Py_ssize_t commas = 0;
    for (const unsigned char *part = w->at; part < w->end;) { /* compilers vectorize small counts */
        unsigned char some = 0;
        Py_ssize_t size = w->end - part < 255 ? w->end - part : 255;
        for (Py_ssize_t i = 0; i < size; i++) some += part[i] == ',';
        commas += some;
        part += size;
    }
    w->length = w->at == w->end ? 0 : commas + 1;
    return 1;
}

/* Between elements of JSON: a comma, or after the last one the end. */
static inline int next_json(Wire *w, int is_last) {
    if (is_last) return w->at == w->end;
    return w->at < w->end && *w->at++ == ',';
}

static int flags_of_json(Wire *w, unsigned char *to) {
    /* Most flags are as the one before. */
    static const char TRUES[] = "true,true,true,true,true,true,true,true,",
                      FALSES[] = "false,false,false,false,false,false,false,false,";
    const Py_ssize_t TRUES_SIZE = sizeof TRUES - 1, FALSES_SIZE = sizeof FALSES - 1;
    for (Py_ssize_t i = 0; i < w->length;) {
        Py_ssize_t left = w->end - w->at;
        int has_room = w->length - i >= 8;
        if (has_room && left > TRUES_SIZE && !memcmp(w->at, TRUES, sizeof TRUES - 1)) {
            memset(to + i, 1, 8);
            w->at += TRUES_SIZE;
            i += 8;
        } else if (has_room && left > FALSES_SIZE && !memcmp(w->at, FALSES, sizeof FALSES - 1)) {
            memset(to + i, 0, 8);
            w->at += FALSES_SIZE;
            i += 8;
        } else {
            int is_true = left >= 4 && !memcmp(w->at, "true", 4);
            if (!is_true && (left < 5 || memcmp(w->at, "false", 5))) return 0;
            to[i] = (unsigned char)is_true;
            w->at += 5 - is_true;
            if (!next_json(w, i == w->length - 1)) return 0;
            i++;
        }
    }
    return w->at == w->end;
}

static int flags_of_msgpack(Wire *w, unsigned char *to) {
    unsigned char wrong = 0;
    if (w->end - w->at != w->length) return 0;
    for (Py_ssize_t i = 0; i < w->length; i++) { /* 0xc2 is false, 0xc3 true */
        wrong |= (w->at[i] & 0xfe) ^ 0xc2;
        to[i] = w->at[i] & 1;
    }
    return !wrong;
}

/* The digits with which eight characters begin: their number, and their value. */
static int digits_of(uint64_t eight, uint32_t *value) {
    const uint64_t ZEROS = 0x3030303030303030, PAIRS = 0x000000ff000000ff;
    /* The high bit of the first other character: below '0' it borrows, above '9' it carries. */
    uint64_t others = ((eight + 0x4646464646464646) | (eight - ZEROS)) & 0x8080808080808080;
    int size = 0;
    if (!others) return 8;
#ifdef __GNUC__
    size = __builtin_ctzll(others) / 8;
#else
    while (!(others >> (8 * size) & 0x80)) size++;
#endif
    if (!size) return 0;
    uint64_t digits = (eight - ZEROS) << (64 - 8 * size); /* zeros come before them */
    digits = digits * 10 + (digits >> 8);
    *value = (uint32_t)((((digits & PAIRS) * (100 + (1000000ull << 32))) +
                         ((digits >> 16 & PAIRS) * (1 + (10000ull << 32)))) >> 32);
    return size;
}

/* Ids up to 2^31-1. Those beyond need a wider type, which Python chooses. */
static int ids_of_json(Wire *w, int32_t *to) {
    const unsigned char *at = w->at, *end = w->end;
    Py_ssize_t length = w->length;
    for (Py_ssize_t i = 0; i < length; i++) {
        const unsigned char *first = at;
        uint64_t value = 0, eight;
        uint32_t few = 0;
        int size = 8;
        unsigned digit;
        if (end - at >= 8) {
            memcpy(&eight, at, 8);
            size = digits_of(eight, &few);
        }
        if (size < 8) {
            value = few;
            at += size;
        } else
            while (at < end && (digit = (unsigned)*at - '0') < 10) {
                value = value * 10 + digit;
                at++;
            }
        if (at == first || at - first > 10 || value > INT32_MAX || (*first == '0' && at - first > 1))
            return 0;
        to[i] = (int32_t)value;
        if (i < length - 1 && *at++ != ',') return 0;
    }
    return at == end;
}

static int ids_of_msgpack(Wire *w, int32_t *to) {
    const unsigned char *at = w->at, *end = w->end;
    Py_ssize_t length = w->length;
    for (Py_ssize_t i = 0; i < length; i++) {
        Py_ssize_t left = end - at;
        if (left < 1) return 0;
        unsigned char head = *at++;
        int size = head < 0x80 ? 0 : head == 0xcc ? 1 : head == 0xcd ? 2 : head == 0xce ? 4 : -1;
        if (size < 0 || left <= size) return 0;
        uint64_t value = size == 4 ? big_endian(at, 4) : size == 2 ? big_endian(at, 2) : size ? *at : head;
        if (value > INT32_MAX) return 0;
        to[i] = (int32_t)value;
        at += size;
    }
    return at == end;
}

#ifdef __SIZEOF_INT128__
static const uint64_t POWERS_OF_5[] = { /* all that have 64 bits */
    1ull, 5ull, 25ull, 125ull, 625ull, 3125ull, 15625ull, 78125ull, 390625ull, 1953125ull, 9765625ull,
    48828125ull, 244140625ull, 1220703125ull, 6103515625ull, 30517578125ull, 152587890625ull,
    762939453125ull, 3814697265625ull, 19073486328125ull, 95367431640625ull, 476837158203125ull,
    2384185791015625ull, 11920928955078125ull, 59604644775390625ull, 298023223876953125ull,
    1490116119384765625ull, 7450580596923828125ull};
enum { MOST_POWER = 27 };

/* The double nearest to whole / 10^power, ties to even. Both have 64 bits at most, shifted up:
 * their quotient has 63 or 64, and the remainder tells whether it is exact. */
static double quotient(uint64_t whole, int power) {
    if (!whole) return 0;
    uint64_t divisor = POWERS_OF_5[power];
    int up = __builtin_clzll(whole), divisor_up = __builtin_clzll(divisor);
    unsigned __int128 scaled = (unsigned __int128)(whole << up) << 63;
    divisor <<= divisor_up;
    uint64_t found = (uint64_t)(scaled / divisor);
    int inexact = scaled != (unsigned __int128)found * divisor, cut = found >> 63 ? 11 : 10;
    uint64_t half = 1ull << (cut - 1), low = found & (2 * half - 1), kept = found >> cut;
    if (low > half || (low == half && (inexact || (kept & 1)))) kept++;
    return ldexp((double)kept, cut - 63 + divisor_up - up - power);
}
#else
enum { MOST_POWER = 0 };
static double quotient(uint64_t whole, int power) { return power ? NAN : (double)whole; }
#endif

static inline int is_digit(unsigned char c) { return c >= '0' && c <= '9'; }

/* A number of JSON that ends before `end`, where a comma or bracket stands. */
static int float_of_json(Wire *w, double *to) {
    const unsigned char *first = w->at, *at = first, *end = w->end;
    int negative = at < end && *at == '-', power = 0, is_integer = 1;
    uint64_t whole = 0;
    at += negative;
    const unsigned char *digits = at;
    for (; at < end && is_digit(*at); at++) whole = whole * 10 + (*at - '0');
    if (at == digits || (*digits == '0' && at - digits > 1)) return 0;
    Py_ssize_t count = at - digits;
    if (at < end && *at == '.') {
        const unsigned char *point = at++;
        for (; at < end && is_digit(*at); at++) whole = whole * 10 + (*at - '0');
        count += at - point - 1;
        power = at - point - 1 < 1000 ? (int)(at - point - 1) : 1000;
        if (!power) return 0;
        is_integer = 0;
        if (*digits == '0') /* zeros before the first other digit do not count */
            for (count--, point++; point < at && *point == '0'; point++) count--;
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        int exponent = 0, sign = 1;
        at++;
        if (at < end && (*at == '-' || *at == '+')) sign = *at++ == '-' ? -1 : 1;
        const unsigned char *from = at;
        for (; at < end && is_digit(*at); at++)
            if (exponent < 10000) exponent = exponent * 10 + (*at - '0');
        if (at == from) return 0;
        power -= sign * exponent;
        is_integer = 0;
    }
    w->at = at;
    if (count <= 19 && power >= 0 && power <= MOST_POWER) {
        *to = quotient(whole, power);
        if (negative && (whole || !is_integer)) *to = -*to; /* the integer -0 is 0 */
        return 1;
    }
    Py_ssize_t size = at - first;
    char text[64], *last; /* a copy that ends: another process may change shared memory */
    if (is_integer || size >= (Py_ssize_t)sizeof text) return 0;
    memcpy(text, first, (size_t)size);
    text[size] = 0;
    *to = PyOS_string_to_double(text, &last, NULL);
    return !PyErr_Occurred() && last == text + size;
}

static int floats_of_json(Wire *w, double *to) {
    for (Py_ssize_t i = 0; i < w->length; i++) {
        if (!float_of_json(w, &to[i]) || !(fabs(to[i]) <= (double)MAX_INT)) return 0;
        if (!next_json(w, i == w->length - 1)) return 0;
    }
    return 1;
}

/* Numbers in which no integer was rounded. */
static int floats_of_msgpack(Wire *w, double *to) {
    for (Py_ssize_t i = 0; i < w->length; i++) {
        Py_ssize_t left = w->end - w->at;
        if (left < 1) return 0;
        unsigned char head = *w->at++;
        if (head == 0xcb && left > 8) {
            uint64_t bits = big_endian(w->at, 8);
            memcpy(&to[i], &bits, 8);
            w->at += 8;
        } else if (head == 0xca && left > 4) {
            uint32_t bits = (uint32_t)big_endian(w->at, 4);
            float value;
            memcpy(&value, &bits, 4);
            to[i] = value;
            w->at += 4;
        } else if (head < 0x80 || head >= 0xe0) {
            to[i] = (int8_t)head;
        } else return 0;
        if (!(fabs(to[i]) <= (double)MAX_INT)) return 0;
    }
    return w->at == w->end;
}

static int flags_of_list(PyObject **items, Py_ssize_t length, unsigned char *to) {
    for (Py_ssize_t i = 0; i < length; i++) {
        if (items[i] != Py_True && items[i] != Py_False) return 0;
        to[i] = items[i] == Py_True;
    }
    return 1;
}

static int ids_of_list(PyObject **items, Py_ssize_t length, int32_t *to) {
    for (Py_ssize_t i = 0; i < length; i++) {
        int64_t value = natural(items[i]);
        if (value < 0 || value > INT32_MAX) return 0;
        to[i] = (int32_t)value;
    }
    return 1;
}

static int floats_of_list(PyObject **items, Py_ssize_t length, double *to) {
    for (Py_ssize_t i = 0; i < length; i++) {
        if (!number(items[i])) return 0;
        to[i] = PyFloat_AS_DOUBLE(items[i]);
    }
    return 1;
}

/* Doubles as the narrowest type that holds all of them. */
static PyObject *narrowed(PyObject *doubles, Py_ssize_t length, int *is_wide) {
    const double *from = (const double *)PyBytes_AS_STRING(doubles);
    *is_wide = 0;
    for (Py_ssize_t i = 0; i < length; i++) *is_wide |= (double)(float)from[i] != from[i];
    if (*is_wide) return doubles;
    PyObject *floats = PyBytes_FromStringAndSize(NULL, length * 4);
    if (floats) {
        float *to = (float *)PyBytes_AS_STRING(floats);
        for (Py_ssize_t i = 0; i < length; i++) to[i] = (float)from[i];
    }
    Py_DECREF(doubles);
    return floats;
}

/* A stream of elements that are known to be legal. Takes the reference to `data`. */
static PyObject *new_stream(int shape, Py_ssize_t length, int dtype_at, PyObject *data) {
    PyTypeObject *kind = setup.kind[shape];
    const Type *dtypes = SHAPE[shape].fields[PackedTokenIds_dtype].type;
    PyObject *stream = PyType_GenericAlloc(kind, 0), *lengths = PyList_New(1),
             *number = PyLong_FromSsize_t(length),
             *dtype = PyUnicode_InternFromString(dtypes->literals[dtype_at]);
    if (!stream || !lengths || !number || !dtype) {
        Py_XDECREF(stream);
        Py_XDECREF(lengths);
        Py_XDECREF(number);
        Py_XDECREF(dtype);
        Py_DECREF(data);
        return NULL;
    }
    PyList_SET_ITEM(lengths, 0, number);
    AT(stream, shape, PackedTokenIds_nd) = Py_NewRef(Py_True);
    AT(stream, shape, PackedTokenIds_dtype) = dtype;
    AT(stream, shape, PackedTokenIds_shape) = lengths;
    AT(stream, shape, PackedTokenIds_data) = data;
    return stream;
}

static int elements_of(int shape, PyObject *list, Wire *w, int is_json, void *to) {
    if (list) {
        PyObject **items = ((PyListObject *)list)->ob_item;
        return shape == S_PackedTokenIds ? ids_of_list(items, w->length, to)
             : shape == S_PackedFlags    ? flags_of_list(items, w->length, to)
                                         : floats_of_list(items, w->length, to);
    }
    if (is_json)
        return shape == S_PackedTokenIds ? ids_of_json(w, to)
             : shape == S_PackedFlags    ? flags_of_json(w, to)
                                         : floats_of_json(w, to);
    return shape == S_PackedTokenIds ? ids_of_msgpack(w, to)
         : shape == S_PackedFlags    ? flags_of_msgpack(w, to)
                                     : floats_of_msgpack(w, to);
}

static PyObject *filled(int shape, PyObject *list, Wire *w, int is_json) {
    int size = shape == S_PackedTokenIds ? 4 : shape == S_PackedFlags ? 1 : 8, is_wide = 0;
    if (w->length > PY_SSIZE_T_MAX / 16) return NULL;
    PyObject *data = PyBytes_FromStringAndSize(NULL, w->length * size);
    if (data && !elements_of(shape, list, w, is_json, PyBytes_AS_STRING(data))) Py_CLEAR(data);
    if (data && size == 8) data = narrowed(data, w->length, &is_wide);
    return data ? new_stream(shape, w->length, is_wide, data) : NULL;
}

/* A list of elements. Equal ids in a row, such as those of an image, are one object. */
static PyObject *listed(int shape, Wire *w, int is_json) {
    enum { FEW = 2048 };
    _Alignas(double) char few[FEW];
    Py_ssize_t length = w->length;
    int size = shape == S_PackedTokenIds ? 4 : shape == S_PackedFlags ? 1 : 8;
    if (length > PY_SSIZE_T_MAX / 16) return NULL;
    void *from = length * size <= FEW ? few : PyMem_Malloc((size_t)length * size);
    PyObject *list = from && elements_of(shape, NULL, w, is_json, from) ? PyList_New(length) : NULL;
    PyObject *last = NULL;
    for (Py_ssize_t i = 0; list && i < length; i++) {
        int32_t id;
        double number;
        if (shape == S_PackedTokenIds) {
            memcpy(&id, (char *)from + 4 * i, 4);
            if (last && !memcmp((char *)from + 4 * i, (char *)from + 4 * i - 4, 4)) Py_INCREF(last);
            else last = PyLong_FromLong(id);
        } else if (shape == S_PackedFlags) {
            last = Py_NewRef(((char *)from)[i] ? Py_True : Py_False);
        } else {
            memcpy(&number, (char *)from + 8 * i, 8);
            last = PyFloat_FromDouble(number);
        }
        if (last) PyList_SET_ITEM(list, i, last);
        else Py_CLEAR(list);
    }
    if (from != few) PyMem_Free(from);
    return list;
}

/* A short string of MessagePack; its size, or -1. */
static Py_ssize_t short_text(Wire *w, const char **text) {
    if (w->at == w->end || (*w->at & 0xe0) != 0xa0) return -1;
    Py_ssize_t size = *w->at++ & 31;
    if (size > w->end - w->at) return -1;
    *text = (const char *)w->at;
    w->at += size;
    return size;
}

static int is_text(const char *text, Py_ssize_t size, const char *other) {
    return size == (Py_ssize_t)strlen(other) && !memcmp(text, other, (size_t)size);
}

/* A number of one, two or four bytes. The byte before it is `first`, or one of the next two. */
static int sized(Wire *w, unsigned char first, Py_ssize_t *number) {
    if (w->at == w->end) return 0;
    int exponent = *(const volatile unsigned char *)w->at++ - first;
    if (exponent < 0 || exponent > 2) return 0;
    int size = 1 << exponent;
    if (w->end - w->at < size) return 0;
    *number = (Py_ssize_t)big_endian(w->at, size);
    w->at += size;
    return 1;
}

/* A packed stream of MessagePack, which has these four fields in any order. */
static PyObject *framed(int shape, Wire *w) {
    const char *const *dtypes = SHAPE[shape].fields[PackedTokenIds_dtype].type->literals, *text;
    const unsigned char *data = NULL;
    Py_ssize_t length = -1, bytes = 0, size;
    int dtype = -1, seen = 0;
    if (w->at == w->end || *w->at++ != 0x84) return NULL;
    for (int i = 0; i < 4; i++) {
        if ((size = short_text(w, &text)) < 0) return NULL;
        if (is_text(text, size, "__nd__")) {
            if (w->at == w->end || *w->at++ != 0xc3) return NULL;
            seen |= 1;
        } else if (is_text(text, size, "dtype")) {
            if ((size = short_text(w, &text)) < 0) return NULL;
            for (int j = 0; dtypes[j]; j++)
                if (is_text(text, size, dtypes[j])) dtype = j;
            seen |= 2;
        } else if (is_text(text, size, "shape")) {
            if (w->at == w->end || *w->at++ != 0x91 || w->at == w->end) return NULL;
            if (*w->at < 0x80) length = *w->at++;
            else if (!sized(w, 0xcc, &length)) return NULL;
            seen |= 4;
        } else if (is_text(text, size, "data")) {
            if (!sized(w, 0xc4, &bytes) || bytes > w->end - w->at) return NULL;
            data = w->at;
            w->at += bytes;
            seen |= 8;
        } else return NULL;
    }
    if (seen != 15 || dtype < 0 || w->at != w->end) return NULL;
    PyObject *kept = PyBytes_FromStringAndSize((const char *)data, bytes);
    PyObject *stream = kept ? new_stream(shape, length, dtype, kept) : NULL;
    if (stream && !packed_holds(shape, stream)) Py_CLEAR(stream);
    return stream;
}

/* A stream as the bytes of the wire have it. Lists are packed, or become lists of Python. */
static PyObject *read_raw(int shape, PyObject *raw, int as_list) {
    PyObject *found = NULL;
    Py_buffer buffer;
    if (PyObject_GetBuffer(raw, &buffer, PyBUF_SIMPLE) < 0) return NULL;
    Wire w = {.at = buffer.buf, .end = (unsigned char *)buffer.buf + buffer.len};
    int is_json = buffer.len && *w.at == '[';
    if (buffer.len && *w.at == 0x84) found = framed(shape, &w);
    else if (is_json ? open_json(&w) : open_msgpack(&w))
        found = as_list ? listed(shape, &w, is_json) : filled(shape, NULL, &w, is_json);
    PyBuffer_Release(&buffer);
    return found;
}

static int is_raw(PyObject *o) { return (PyObject *)Py_TYPE(o) == setup.raw; }
static int can_read(int shape) { return !PY_BIG_ENDIAN && shape >= 0 && shape <= S_PackedFloats; }

/* A packed stream of a list, or of the bytes of a stream. The elements of a list are packed in the
 * narrowest type of the shape. */
PyObject *packed_of(int shape, PyObject *source) {
    PyObject *found = NULL;
    if (!can_read(shape)) return NULL;
    if (PyList_CheckExact(source)) {
        Wire w = {.length = PyList_GET_SIZE(source)};
        found = filled(shape, source, &w, 0);
    } else if (is_raw(source)) found = read_raw(shape, source, 0);
    if (!found) PyErr_Clear();
    return found;
}

/* A list, or the bytes of a stream as a list or packed, as they have it. */
PyObject *list_of(int shape, PyObject *source) {
    if (PyList_CheckExact(source)) return Py_NewRef(source);
    PyObject *found = can_read(shape) && is_raw(source) ? read_raw(shape, source, 1) : NULL;
    if (!found) PyErr_Clear();
    return found;
}
