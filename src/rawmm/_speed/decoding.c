/* Instances that a decoder made of the classes of values/wire_classes.py. */
#include "speed.h"

/* The class of packed streams that a type admits; -1 if none. */
static int stream_shape(const Type *type) {
    for (int shape = S_PackedTokenIds; shape <= S_PackedFloats; shape++)
        if (type->structs >> shape & 1) return shape;
    return -1;
}

/* Whether the bytes of a value are those of null, in JSON or MessagePack. */
static int is_null(PyObject *value) {
    Py_buffer buffer;
    if ((PyObject *)Py_TYPE(value) != setup.raw) return 0;
    if (PyObject_GetBuffer(value, &buffer, PyBUF_SIMPLE) < 0) {
        PyErr_Clear();
        return 0;
    }
    int found = (buffer.len == 4 && !memcmp(buffer.buf, "null", 4)) ||
                (buffer.len == 1 && *(unsigned char *)buffer.buf == 0xc0);
    PyBuffer_Release(&buffer);
    return found;
}

typedef PyObject *(*Reader)(int shape, PyObject *source);

/* Read a value of the wire, in place. `*rest` counts those that Python has to read. */
static void read_value(PyObject **slot, const Type *type, Reader reader, int *rest) {
    if ((PyObject *)Py_TYPE(*slot) != setup.raw && !PyList_CheckExact(*slot)) return;
    PyObject *before = *slot, *found = reader(stream_shape(type), before);
    if (!found && type->kinds & NONE && is_null(before)) found = Py_NewRef(Py_None);
    if (found) {
        *slot = found;
        Py_DECREF(before);
    } else ++*rest;
}

static void read_values(PyObject *dict, int shape, Reader reader, int *rest) {
    Py_ssize_t i = 0;
    PyObject *key, *value;
    while (PyDict_Next(dict, &i, &key, &value)) {
        PyObject *found = reader(shape, value);
        /* The value of a key that is there: the dict keeps its size. */
        if (!found || PyDict_SetItem(dict, key, found) < 0) {
            PyErr_Clear();
            ++*rest;
        }
        Py_XDECREF(found);
    }
}

/* Read the streams of an instance. Returns the number of those that are left. */
int read_streams(int shape, PyObject *o, uint64_t fields, int as_lists) {
    Reader reader = as_lists ? list_of : packed_of;
    int rest = 0;
    for (int i = 0; i < SHAPE[shape].size; i++) {
        const Type *type = SHAPE[shape].fields[i].type;
        PyObject **slot = &AT(o, shape, i);
        if (!(fields >> i & 1) || !*slot) continue;
        if (stream_shape(type) >= 0) read_value(slot, type, reader, &rest);
        else if (type->item && stream_shape(type->item) >= 0 && PyDict_CheckExact(*slot))
            read_values(*slot, stream_shape(type->item), reader, &rest);
    }
    return rest;
}

/* The fields of a shape that may hold a stream. */
uint64_t stream_fields(int shape) {
    uint64_t fields = 0;
    for (int i = 0; i < SHAPE[shape].size; i++)
        fields |= (uint64_t)(stream_shape(SHAPE[shape].fields[i].type) >= 0) << i;
    return fields;
}

/* Have the collector not walk the streams of a new instance. Their elements refer to nothing. */
void untrack_streams(int shape, PyObject *o, uint64_t fields) {
    for (int i = 0; fields >> i; i++) {
        PyObject *value = fields >> i & 1 ? AT(o, shape, i) : NULL;
        int packed = value ? shape_of(Py_TYPE(value)) : -1;
        if (packed >= 0 && PACKED_SHAPES >> packed & 1) value = AT(value, packed, PackedTokenIds_shape);
        if (value && PyList_CheckExact(value)) PyObject_GC_UnTrack(value);
    }
}

/* Whether fields have the types of the schema. Structs in them have checked themselves. */
int fields_fit(int shape, PyObject *o, uint64_t fields) {
    for (int i = 0; i < SHAPE[shape].size; i++)
        if (fields >> i & 1 && !(AT(o, shape, i) && value_fits(SHAPE[shape].fields[i].type, AT(o, shape, i))))
            return 0;
    return 1;
}

/* Whether C can check each value of a type that C may have to check. */
static int is_checkable(const Type *type) {
    if (type->kinds & (NEVER | UNKNOWN)) return 0;
    return (!type->item || is_checkable(type->item)) && (!type->key || is_checkable(type->key));
}

/* The fields of a shape whose types C checks in full. */
uint64_t checkable_fields(int shape) {
    uint64_t fields = 0;
    for (int i = 0; i < SHAPE[shape].size; i++)
        fields |= (uint64_t)is_checkable(SHAPE[shape].fields[i].type) << i;
    return fields;
}
