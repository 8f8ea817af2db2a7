/* The module `rawmm._speed`: its set-up and its functions. */
#include "speed.h"
#include <stdlib.h>
#include <structmember.h>

Setup setup;
static int ready, enabled = 1;
static PyObject *observer;
static PyObject *CHECK, *READ, *CLASS; /* names of methods in Python, and `__class__` */
static PyObject *Unsure;

/* Shapes by class: a table with open addressing. */
enum { SLOTS = 256, MOST = SLOTS / 2 };
typedef struct {
    PyTypeObject *kind;
    int shape;
    int is_wire;            /* a class that decoders fill; instances become of the shape's class */
    uint64_t loose, bare;   /* fields of such a class: to check, to read from bytes */
    int as_lists;           /* whether streams are read as lists, not packed */
    uint64_t streams;       /* all fields that may hold a stream */
} Slot;
static Slot slots[SLOTS];
static int used;

static unsigned slot_of(PyTypeObject *kind) {
    uintptr_t at = (uintptr_t)kind;
    return (unsigned)((at >> 4 ^ at >> 11) % SLOTS);
}

static const Slot *find(PyTypeObject *kind) {
    for (unsigned i = slot_of(kind); slots[i].kind; i = (i + 1) % SLOTS)
        if (slots[i].kind == kind) return &slots[i];
    return NULL;
}

static int add(Slot one) {
    if (used == MOST || find(one.kind)) return 0;
    unsigned at = slot_of(one.kind);
    while (slots[at].kind) at = (at + 1) % SLOTS;
    Py_INCREF(one.kind);
    slots[at] = one;
    used++;
    return 1;
}

int shape_of(PyTypeObject *kind) {
    const Slot *found = find(kind);
    return found && !found->is_wire ? found->shape : -1;
}

/* Where a field stands in an instance. -1 if it is not a slot for an object. */
static Py_ssize_t offset_of(PyObject *descriptor, PyTypeObject *kind) {
    if (!Py_IS_TYPE(descriptor, &PyMemberDescr_Type)) return -1;
    PyMemberDescrObject *member = (PyMemberDescrObject *)descriptor;
    if (PyDescr_TYPE(member) != kind || member->d_member->type != T_OBJECT_EX) return -1;
    return member->d_member->offset;
}

/* Tell the observer of the tests an answer. */
static int observed(PyObject *o, const char *question, int answer) {
    if (!observer) return 0;
    PyObject *called = Py_NewRef(observer); /* which may replace itself */
    PyObject *found = PyObject_CallFunction(called, "Osi", o, question, answer);
    Py_DECREF(called);
    Py_XDECREF(found);
    return found ? 0 : -1;
}

static PyObject *post_init(PyObject *self, PyObject *Py_UNUSED(none)) {
    int shape = ready && enabled ? shape_of(Py_TYPE(self)) : -1;
    int fine = shape >= 0 && rules_hold(shape, self, 0);
    if (shape >= 0 && observed(self, "rules", fine) < 0) return NULL;
    if (fine) Py_RETURN_NONE;
    return PyObject_CallMethodNoArgs(self, CHECK);
}

/* Read the streams of and check a new instance of a class of the wire, and make it one of the contract's class. */
static PyObject *decoded(PyObject *self, PyObject *Py_UNUSED(none)) {
    const Slot *found = ready && enabled ? find(Py_TYPE(self)) : NULL;
    if (!found || !found->is_wire) {
        PyErr_SetNone(Unsure);
        return NULL;
    }
    int shape = found->shape;
    if (found->bare && read_streams(shape, self, found->bare, found->as_lists)) {
        PyObject *done = PyObject_CallMethodNoArgs(self, READ);
        if (!done) return NULL;
        Py_DECREF(done);
    }
    if (!fields_fit(shape, self, found->loose)) {
        PyErr_SetNone(Unsure);
        return NULL;
    }
    untrack_streams(shape, self, found->streams);
    if (PyObject_GenericSetAttr(self, CLASS, (PyObject *)setup.kind[shape]) < 0) return NULL;
    PyObject *checked = post_init(self, NULL);
    if (checked && observed(self, "shape", 1) < 0) Py_CLEAR(checked);
    return checked;
}

static int read_fields(PyObject *names, int shape, uint64_t *fields) {
    *fields = 0;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(names); i++) {
        int at = SHAPE[shape].size;
        while (at-- > 0)
            if (PyUnicode_Check(PyTuple_GET_ITEM(names, i)) &&
                !PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, i), SHAPE[shape].fields[at].name))
                break;
        if (at < 0) return 0;
        *fields |= (uint64_t)1 << at;
    }
    return 1;
}

static PyObject *add_wire(PyObject *Py_UNUSED(module), PyObject *args) {
    PyTypeObject *wire, *kind;
    PyObject *members, *loose, *bare;
    int as_lists;
    if (!PyArg_ParseTuple(args, "O!O!O!O!O!p", &PyType_Type, &wire, &PyType_Type, &kind, &PyTuple_Type,
                          &members, &PyTuple_Type, &loose, &PyTuple_Type, &bare, &as_lists))
        return NULL;
    Slot slot = {.kind = wire, .shape = ready ? shape_of(kind) : -1, .is_wire = 1, .as_lists = as_lists};
    if (slot.shape < 0 || PyTuple_GET_SIZE(members) != SHAPE[slot.shape].size ||
        wire->tp_basicsize != kind->tp_basicsize || !read_fields(loose, slot.shape, &slot.loose) ||
        !read_fields(bare, slot.shape, &slot.bare))
        Py_RETURN_FALSE;
    for (int i = 0; i < SHAPE[slot.shape].size; i++)
        if (offset_of(PyTuple_GET_ITEM(members, i), wire) != setup.at[slot.shape][i]) Py_RETURN_FALSE;
    slot.streams = stream_fields(slot.shape);
    return PyBool_FromLong(add(slot));
}

static PyObject *checkable(PyObject *Py_UNUSED(module), PyObject *kind) {
    int shape = ready && PyType_Check(kind) ? shape_of((PyTypeObject *)kind) : -1;
    uint64_t fields = shape < 0 ? 0 : checkable_fields(shape);
    PyObject *names = PySet_New(NULL);
    for (int i = 0; names && i < (shape < 0 ? 0 : SHAPE[shape].size); i++) {
        if (!(fields >> i & 1)) continue;
        PyObject *name = PyUnicode_FromString(SHAPE[shape].fields[i].name);
        if (!name || PySet_Add(names, name) < 0) Py_CLEAR(names);
        Py_XDECREF(name);
    }
    return names;
}

static PyObject *packed(PyObject *Py_UNUSED(module), PyObject *args) {
    PyTypeObject *kind;
    PyObject *list;
    if (!PyArg_ParseTuple(args, "O!O!", &PyType_Type, &kind, &PyList_Type, &list)) return NULL;
    PyObject *found = ready && enabled ? packed_of(shape_of(kind), list) : NULL;
    return found ? found : Py_NewRef(Py_None);
}

static PyObject *unique_keys(PyObject *Py_UNUSED(module), PyObject *text) {
    return PyBool_FromLong(enabled && PyBytes_CheckExact(text) &&
                           keys_are_unique(PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text)));
}

static PyObject *valid(PyObject *Py_UNUSED(module), PyObject *o) {
    int shape = ready && enabled ? shape_of(Py_TYPE(o)) : -1, seen = 0;
    int fine = shape >= 0 && struct_holds(shape, o, &seen);
    int answer = fine ? VALID | seen : 0;
    if (shape >= 0 && observed(o, "struct", answer) < 0) return NULL;
    return PyLong_FromLong(answer);
}

static PyObject *observe(PyObject *Py_UNUSED(module), PyObject *callable) {
    PyObject *before = observer;
    observer = callable == Py_None ? NULL : Py_NewRef(callable);
    Py_XDECREF(before); /* last, as it may run Python code */
    Py_RETURN_NONE;
}

static PyObject *enable(PyObject *Py_UNUSED(module), PyObject *flag) {
    enabled = flag == Py_True;
    Py_RETURN_NONE;
}

static int read_kind(int shape, PyObject *kind, PyObject *members) {
    if (!PyType_Check(kind) || !PyTuple_CheckExact(members) ||
        PyTuple_GET_SIZE(members) != SHAPE[shape].size)
        return 0;
    setup.kind[shape] = (PyTypeObject *)Py_NewRef(kind);
    for (int i = 0; i < SHAPE[shape].size; i++) {
        PyObject *pair = PyTuple_GET_ITEM(members, i), *name, *member;
        if (!PyArg_ParseTuple(pair, "UO", &name, &member)) return 0;
        if (PyUnicode_CompareWithASCIIString(name, SHAPE[shape].fields[i].name)) return 0;
        setup.at[shape][i] = offset_of(member, setup.kind[shape]);
        if (setup.at[shape][i] < 0) return 0;
    }
    return add((Slot){.kind = setup.kind[shape], .shape = shape});
}

static PyObject *set_up(PyObject *Py_UNUSED(module), PyObject *args, PyObject *keywords) {
    static char *names[] = {"kinds", "unset", "extra", "raw", "checks", "by_itself", "in_messages",
                            "token_types", "image", NULL};
    PyObject *kinds;
    Setup given = {0};
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O!OOOOOO!O!O", names, &PyDict_Type, &kinds,
                                     &given.unset, &given.extra, &given.raw, &given.checks, &given.by_itself,
                                     &PyDict_Type, &given.in_messages, &PyDict_Type,
                                     &given.token_types, &given.image))
        return NULL;
    if (ready || setup.unset) Py_RETURN_FALSE; /* the first copy of the package keeps it */
    setup = given;
    PyObject *kept[] = {given.unset, given.extra, given.raw, given.checks, given.by_itself,
                        given.in_messages, given.token_types, given.image};
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) Py_INCREF(kept[i]);
    if (!PyContextVar_CheckExact(given.checks) || PyDict_GET_SIZE(kinds) != SHAPES) Py_RETURN_FALSE;
    for (int shape = 0; shape < SHAPES; shape++) {
        PyObject *row = PyDict_GetItemString(kinds, SHAPE[shape].name), *kind, *members;
        if (!row || !PyArg_ParseTuple(row, "OO", &kind, &members) || !read_kind(shape, kind, members)) {
            if (PyErr_Occurred()) return NULL;
            Py_RETURN_FALSE;
        }
    }
    ready = 1;
    Py_RETURN_TRUE;
}

static PyMethodDef POST_INIT = {"__post_init__", post_init, METH_NOARGS,
                                "Check the rules of a new struct."};
static PyMethodDef DECODED = {"__post_init__", decoded, METH_NOARGS,
                              "Check a new struct of the wire, read its streams, and change its class."};
static PyMethodDef METHODS[] = {
    {"set_up", (PyCFunction)(void (*)(void))set_up, METH_VARARGS | METH_KEYWORDS, NULL},
    {"add_wire", add_wire, METH_VARARGS, NULL},
    {"checkable", checkable, METH_O, NULL},
    {"packed", packed, METH_VARARGS, NULL},
    {"unique_keys", unique_keys, METH_O, NULL},
    {"valid", valid, METH_O, NULL},
    {"text_digest", text_digest, METH_VARARGS, NULL},
    {"digest_to_quote", digest_to_quote, METH_VARARGS, NULL},
    {"keyed_digest", keyed_digest, METH_VARARGS, NULL},
    {"observe", observe, METH_O, NULL},
    {"enable", enable, METH_O, NULL},
    {NULL, NULL, 0, NULL}};
static struct PyModuleDef MODULE = {PyModuleDef_HEAD_INIT, "rawmm._speed", NULL, -1, METHODS,
                                    NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__speed(void) {
    const char *pure = getenv("RAWMM_PURE");
    if (pure && !strcmp(pure, "1")) {
        PyErr_SetString(PyExc_ImportError, "RAWMM_PURE=1 chooses the Python code");
        return NULL;
    }
    if (!CHECK && !(CHECK = PyUnicode_InternFromString("__check_rules__"))) return NULL;
    if (!READ && !(READ = PyUnicode_InternFromString("__read_rest__"))) return NULL;
    if (!CLASS && !(CLASS = PyUnicode_InternFromString("__class__"))) return NULL;
    if (!Unsure && !(Unsure = PyErr_NewException("rawmm._speed.Unsure", NULL, NULL))) return NULL;
    PyObject *module = PyModule_Create(&MODULE),
             *checks = PyDescr_NewMethod(&PyBaseObject_Type, &POST_INIT),
             *decodes = PyDescr_NewMethod(&PyBaseObject_Type, &DECODED);
    if (!module || !checks || !decodes || PyModule_AddObjectRef(module, "post_init", checks) < 0 ||
        PyModule_AddObjectRef(module, "decoded", decodes) < 0 ||
        PyModule_AddObjectRef(module, "Unsure", Unsure) < 0 ||
        PyModule_AddStringMacro(module, TABLES_DIGEST) < 0 ||
        PyModule_AddIntMacro(module, HAS_EXTRA) < 0 || PyModule_AddIntMacro(module, HAS_LISTS) < 0 ||
        PyModule_AddIntMacro(module, HAS_PACKED) < 0 ||
        PyModule_AddIntConstant(module, "TEXT_HASH_WIDTH", text_hash_width()) < 0)
        Py_CLEAR(module);
    Py_XDECREF(checks);
    Py_XDECREF(decodes);
    return module;
}
