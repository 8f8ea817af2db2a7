/* The module `rawmm._speed`: its set-up and its doors. */
#include "speed.h"
#include <stdlib.h>
#include <structmember.h>

Setup setup;
static int ready, enabled = 1;
static PyObject *observer;
static PyObject *CHECK; /* the name of the method that asks Python */

/* Shapes by class: a table with open addressing. */
enum { SLOTS = 128 };
static struct { PyTypeObject *kind; int shape; } slots[SLOTS];

static unsigned slot_of(PyTypeObject *kind) {
    uintptr_t at = (uintptr_t)kind;
    return (unsigned)((at >> 4 ^ at >> 11) % SLOTS);
}

int shape_of(PyTypeObject *kind) {
    for (unsigned i = slot_of(kind); slots[i].kind; i = (i + 1) % SLOTS)
        if (slots[i].kind == kind) return slots[i].shape;
    return -1;
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

static PyObject *valid(PyObject *Py_UNUSED(module), PyObject *o) {
    int shape = ready && enabled ? shape_of(Py_TYPE(o)) : -1, has_extra = 0;
    int fine = shape >= 0 && struct_holds(shape, o, &has_extra);
    int answer = fine ? 1 + has_extra : 0;
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

/* Where a field stands in an instance. -1 if it is not a slot for an object. */
static Py_ssize_t offset_of(PyObject *descriptor, PyTypeObject *kind) {
    if (!Py_IS_TYPE(descriptor, &PyMemberDescr_Type)) return -1;
    PyMemberDescrObject *member = (PyMemberDescrObject *)descriptor;
    if (PyDescr_TYPE(member) != kind || member->d_member->type != T_OBJECT_EX) return -1;
    return member->d_member->offset;
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
    unsigned at = slot_of(setup.kind[shape]);
    while (slots[at].kind) at = (at + 1) % SLOTS;
    slots[at].kind = setup.kind[shape];
    slots[at].shape = shape;
    return 1;
}

static PyObject *set_up(PyObject *Py_UNUSED(module), PyObject *args, PyObject *keywords) {
    static char *names[] = {"kinds", "unset", "extra", "checks", "by_itself", "in_messages",
                            "token_types", "image", "digest", NULL};
    PyObject *kinds;
    const char *digest;
    Setup given = {0};
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O!OOOOO!O!Os", names, &PyDict_Type, &kinds,
                                     &given.unset, &given.extra, &given.checks, &given.by_itself,
                                     &PyDict_Type, &given.in_messages, &PyDict_Type,
                                     &given.token_types, &given.image, &digest))
        return NULL;
    if (ready || setup.unset) Py_RETURN_FALSE; /* the first copy of the package keeps it */
    if (strcmp(digest, TABLES_DIGEST)) Py_RETURN_FALSE; /* compiled from other sources */
    setup = given;
    PyObject *kept[] = {given.unset, given.extra, given.checks, given.by_itself,
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
static PyMethodDef METHODS[] = {
    {"set_up", (PyCFunction)(void (*)(void))set_up, METH_VARARGS | METH_KEYWORDS, NULL},
    {"valid", valid, METH_O, NULL},
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
    PyObject *module = PyModule_Create(&MODULE), *method = PyDescr_NewMethod(&PyBaseObject_Type, &POST_INIT);
    if (!module || !method || PyModule_AddObjectRef(module, "post_init", method) < 0) Py_CLEAR(module);
    Py_XDECREF(method);
    return module;
}
