/* Whether values have the types of the schema: what msgspec checks when it decodes. */
#include "speed.h"

/* Adds to `seen` what is in the value. Without it, structs in the value are not looked into. */
static int fits(const Type *type, PyObject *o, int *seen);

static int list_fits(const Type *type, PyObject *list, int *seen) {
    const Type *item = type->item;
    if (type->most && PyList_GET_SIZE(list) > type->most) return 0;
    if (seen && type->structs & PACKED_SHAPES) *seen |= HAS_LISTS;
    if (item->kinds == INT) return ints_of(list, item->low, item->high);
    if (item->kinds == (TRUE | FALSE)) return flags_of(list);
    if (item->kinds == FLOAT) return numbers_of(list);
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++)
        if (!fits(item, PyList_GET_ITEM(list, i), seen)) return 0;
    return 1;
}

static int dict_fits(const Type *type, PyObject *dict, int *seen) {
    Py_ssize_t i = 0;
    PyObject *key, *value;
    while (PyDict_Next(dict, &i, &key, &value)) {
        if (!PyUnicode_CheckExact(key) || (type->key && !fits(type->key, key, seen))) return 0;
        if (!fits(type->item, value, seen)) return 0;
    }
    return 1;
}

static int fits(const Type *type, PyObject *o, int *seen) {
    unsigned kinds = type->kinds;
    if (kinds & ANY) return 1;
    if (o == setup.unset) return (kinds & UNSET) != 0;
    if (kinds & NEVER) return 0;
    if (o == Py_None) return (kinds & NONE) != 0;
    if (o == Py_True) return (kinds & TRUE) != 0;
    if (o == Py_False) return (kinds & FALSE) != 0;
    if (PyUnicode_CheckExact(o)) {
        if (!(kinds & STR)) return 0;
        if (type->literals) return one_of(type->literals, o);
        return !type->text || matches(type->text, o);
    }
    if (PyLong_CheckExact(o)) {
        int64_t value = natural(o);
        return (kinds & INT) && value >= 0 && value >= type->low && value <= type->high;
    }
    if (PyFloat_CheckExact(o)) return (kinds & FLOAT) && number(o);
    if (PyBytes_CheckExact(o)) return (kinds & BYTES) != 0;
    if (PyList_CheckExact(o)) return (kinds & LIST) && list_fits(type, o, seen);
    if (PyDict_CheckExact(o)) return (kinds & DICT) && dict_fits(type, o, seen);
    int shape = kinds & STRUCT ? shape_of(Py_TYPE(o)) : -1;
    if (shape < 0 || !(type->structs >> shape & 1)) return 0;
    if (seen && PACKED_SHAPES >> shape & 1) *seen |= HAS_PACKED;
    return !seen || struct_holds(shape, o, seen);
}

/* Whether a value has a type, but for the structs in it, whose classes alone are looked at. */
int value_fits(const Type *type, PyObject *o) { return fits(type, o, NULL); }

/* Whether unknown properties can stand beside the known ones of a shape. */
static int extra_fits(int shape, PyObject *extra) {
    if (!PyDict_CheckExact(extra) && (PyObject *)Py_TYPE(extra) != setup.extra) return 0;
    Py_ssize_t i = 0;
    PyObject *key, *value;
    while (PyDict_Next(extra, &i, &key, &value)) {
        if (!ascii(key)) return 0;
        for (int j = 0; j < SHAPE[shape].size; j++)
            if (!strcmp(SHAPE[shape].fields[j].wire, characters(key))) return 0;
    }
    return clean(extra, 0, 0);
}

/* Whether a struct, and those in it, obey the contract. Adds to `seen` what is in them. */
int struct_holds(int shape, PyObject *o, int *seen) {
    const Shape *s = &SHAPE[shape];
    for (int i = 0; i < s->size; i++) {
        PyObject *value = AT(o, shape, i);
        if (!value) return 0;
        if (s->fields[i].type->kinds != UNKNOWN) {
            if (!fits(s->fields[i].type, value, seen)) return 0;
        } else if (value != setup.unset) {
            if (!extra_fits(shape, value)) return 0;
            if (PyDict_GET_SIZE(value)) *seen |= HAS_EXTRA;
        }
    }
    return rules_hold(shape, o, 1);
}
