/* Values without a struct: texts, free JSON, locators. */
#include "speed.h"

int matches(const Text *text, PyObject *o) {
    if (!ascii(o)) return 0;
    Py_ssize_t size = PyUnicode_GET_LENGTH(o);
    if (size < 1 || size < text->shortest || size > text->longest) return 0;
    const unsigned char *at = (const unsigned char *)characters(o);
    unsigned char fine = text->first[at[0]];
    for (Py_ssize_t i = 1; i < size; i++) fine &= text->rest[at[i]];
    return fine;
}

int one_of(const char *const *literals, PyObject *o) {
    if (!ascii(o)) return 0;
    size_t size = (size_t)PyUnicode_GET_LENGTH(o);
    for (; *literals; literals++)
        if (strlen(*literals) == size && !memcmp(*literals, characters(o), size)) return 1;
    return 0;
}

int same_text(PyObject *one, PyObject *other) {
    if (one == other) return PyUnicode_CheckExact(one);
    if (!ascii(one) || !ascii(other)) return 0;
    Py_ssize_t size = PyUnicode_GET_LENGTH(one);
    return size == PyUnicode_GET_LENGTH(other) && !memcmp(characters(one), characters(other), size);
}

/* Whether a key of ASCII is one of PROCESSED_KEYS, in any case. They are sorted. */
int processed_key(PyObject *key) {
    static size_t sizes[64], longest; /* whether a key has this size; filled on first use */
    if (!longest)
        for (const char *const *one = PROCESSED_KEYS; *one; one++) {
            size_t size = strlen(*one);
            if (size < 64) sizes[size] = 1;
            if (size > longest) longest = size;
        }
    size_t size = (size_t)PyUnicode_GET_LENGTH(key);
    if (size > longest || (size < 64 && !sizes[size])) return 0;
    const char *text = characters(key);
    for (const char *const *one = PROCESSED_KEYS; *one; one++) {
        if (strlen(*one) != size) continue;
        size_t i = 0;
        while (i < size && Py_TOLOWER(text[i]) == (*one)[i]) i++;
        if (i == size) return 1;
    }
    return 0;
}

/* The size of a text in UTF-8; -1 if it has a lone surrogate. */
static Py_ssize_t utf8_size(PyObject *o) {
    Py_ssize_t size = PyUnicode_GET_LENGTH(o);
    if (PyUnicode_IS_ASCII(o)) return size;
    int kind = PyUnicode_KIND(o);
    const void *data = PyUnicode_DATA(o);
    Py_ssize_t total = 0;
    for (Py_ssize_t i = 0; i < size; i++) {
        Py_UCS4 c = PyUnicode_READ(kind, data, i);
        if (c >= 0xD800 && c <= 0xDFFF) return -1;
        total += 1 + (c >= 0x80) + (c >= 0x800) + (c >= 0x10000);
    }
    return total;
}

typedef struct {
    int descriptor;
    Py_ssize_t values, text; /* that may still come */
} Budget;

static int spend_text(PyObject *o, Budget *left) {
    Py_ssize_t size = utf8_size(o);
    if (size < 0) return 0;
    if (left->descriptor) left->text -= size;
    return left->text >= 0;
}

/* `depth` is the level of a container, from 1. Containers are walked as they are: a shared one
 * counts each time, and one that contains itself is too deep. */
static int walk(PyObject *o, int depth, Budget *left) {
    if (PyLong_CheckExact(o)) {
        if (!left->descriptor) return 1;
        int overflow;
        long long value = PyLong_AsLongLongAndOverflow(o, &overflow);
        return !overflow && value >= -MAX_INT && value <= MAX_INT;
    }
    if (PyUnicode_CheckExact(o)) return spend_text(o, left);
    if (o == Py_None || o == Py_True || o == Py_False) return 1;
    if (PyFloat_CheckExact(o)) return isfinite(PyFloat_AS_DOUBLE(o)) != 0;
    if (PyList_CheckExact(o)) {
        Py_ssize_t size = PyList_GET_SIZE(o);
        if (depth > MAX_DEPTH || (left->values -= size) < 0) return 0;
        for (Py_ssize_t i = 0; i < size; i++)
            if (!walk(PyList_GET_ITEM(o, i), depth + 1, left)) return 0;
        return 1;
    }
    if (PyDict_CheckExact(o) || (depth == 0 && (PyObject *)Py_TYPE(o) == setup.extra)) {
        if (depth > MAX_DEPTH || (left->values -= PyDict_GET_SIZE(o)) < 0) return 0;
        Py_ssize_t i = 0;
        PyObject *key, *value;
        while (PyDict_Next(o, &i, &key, &value)) {
            /* Keys of processed data are judged by their values, and folded outside of ASCII. */
            if (!ascii(key) || processed_key(key) || !spend_text(key, left)) return 0;
            if (PyUnicode_GET_LENGTH(key) == 6 && !memcmp(characters(key), "__nd__", 6)) return 0;
            if (!walk(value, depth + 1, left)) return 0;
        }
        return 1;
    }
    return 0;
}

/* Free JSON that decoding would return as it is: `is_clean` of values/payload.py in every mode.
 * `depth` is 1 for the value of a field, 0 for the object of unknown properties. */
int clean(PyObject *value, int descriptor, int depth) {
    Budget left = {descriptor, (descriptor ? MAX_VALUES : MAX_FREE_VALUES) - 1, MAX_TEXT};
    return walk(value, depth, &left);
}

/* `names_image` of locators.py, for a URL or a file name that begins with the hash, and data. */
int names_image(PyObject *locator, PyObject *sha256) {
    if (!ascii(locator) || !ascii(sha256)) return 0;
    const char *text = characters(locator), *hash = characters(sha256);
    Py_ssize_t size = PyUnicode_GET_LENGTH(locator), digits = PyUnicode_GET_LENGTH(sha256);
    if (size >= 5 && Py_TOLOWER(text[0]) == 'd' && Py_TOLOWER(text[1]) == 'a' &&
        Py_TOLOWER(text[2]) == 't' && Py_TOLOWER(text[3]) == 'a' && text[4] == ':')
        return 1;
    Py_ssize_t name = size;
    while (name > 0 && text[name - 1] != '/') name--;
    if (size - name < digits || memcmp(text + name, hash, digits)) return 0;
    return !memchr(text, '%', size) && !memchr(text, '?', size) && !memchr(text, '#', size);
}

/* The value of a name in a small dict, or NULL. Hashing a key could run Python code. */
PyObject *entry(PyObject *by_name, PyObject *name, int *fine) {
    Py_ssize_t i = 0;
    PyObject *key, *value, *found = NULL;
    *fine = by_name && PyDict_CheckExact(by_name) && PyDict_GET_SIZE(by_name) <= 8;
    while (*fine && PyDict_Next(by_name, &i, &key, &value)) {
        *fine = ascii(key);
        if (*fine && same_text(key, name)) found = value;
    }
    return found;
}
