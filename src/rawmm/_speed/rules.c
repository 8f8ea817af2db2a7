/* The rules of one struct, as src/rawmm/rules has them. */
#include "speed.h"

static int fields_are_clean(int shape, PyObject *o, unsigned flag, int descriptor) {
    const Shape *s = &SHAPE[shape];
    for (int i = 0; i < s->size; i++) {
        if (!(s->fields[i].flags & flag)) continue;
        PyObject *value = AT(o, shape, i);
        if (!value || (!ABSENT(value) && !clean(value, descriptor, 1))) return 0;
    }
    return 1;
}

static int rule_payload(int shape, PyObject *o) { return fields_are_clean(shape, o, DESCRIPTOR, 1); }
static int rule_free_json(int shape, PyObject *o) { return fields_are_clean(shape, o, FREE, 0); }

/* A number, numbers, or none. */
static int is_finite(PyObject *value) {
    if (ABSENT(value)) return 1;
    if (PyList_CheckExact(value)) return numbers_of(value);
    return number(value) || IS(value, PackedFloats); /* which checks its own elements */
}

/* The same, or a map of them. `replace` of msgspec gives a rule values of any type, so nothing here
 * recurses: a map in a map may contain itself. */
static int is_number(PyObject *value) {
    if (!PyDict_CheckExact(value)) return is_finite(value);
    Py_ssize_t i = 0;
    PyObject *key, *child;
    while (PyDict_Next(value, &i, &key, &child))
        if (!is_finite(child)) return 0;
    return 1;
}

static int rule_finite(int shape, PyObject *o) {
    const Shape *s = &SHAPE[shape];
    for (int i = 0; i < s->size; i++) {
        if (!(s->fields[i].flags & NUMBERS)) continue;
        PyObject *value = AT(o, shape, i);
        if (!value || !is_number(value)) return 0;
    }
    return 1;
}

/* No URI: a file name is as its pattern says. */
static int rule_locator(int shape, PyObject *o) {
    PyObject *uri = shape == S_RawMMItem ? GET(o, RawMMItem, raw_image_uri)
                  : shape == S_MMImageItem ? GET(o, MMImageItem, raw_image_uri)
                                           : NULL;
    return uri && ABSENT(uri);
}

static int rule_array_size(int shape, PyObject *o) { return shape == S_EncodedArray && array_holds(o); }

/* Read a placeholder range whose values are within the bounds of the schema. */
int bounds(PyObject *range, int64_t *offset, int64_t *length) {
    if (!IS(range, PlaceholderRange)) return 0;
    const Field *fields = SHAPE[S_PlaceholderRange].fields;
    PyObject *first = GET(range, PlaceholderRange, offset), *size = GET(range, PlaceholderRange, length);
    if (!first || !value_fits(fields[PlaceholderRange_offset].type, first) || !size ||
        !value_fits(fields[PlaceholderRange_length].type, size))
        return 0;
    *offset = natural(first);
    *length = natural(size);
    return 1;
}

static int item_is_of(PyObject *item, PyObject *modality, PyObject *sha256) {
    if (!IS(item, RawMMItem)) return 0;
    PyObject *own = GET(item, RawMMItem, modality), *id = GET(item, RawMMItem, raw_image_id),
             *uri = GET(item, RawMMItem, raw_image_uri);
    if (!own || !id || !uri || !same_text(own, modality)) return 0;
    PyObject *locator = ABSENT(id) ? uri : id;
    return ABSENT(locator) || names_image(locator, sha256);
}

static int rule_sidecar(int shape, PyObject *o) {
    if (shape != S_MultiModalData) return 0;
    PyObject *hashes = GET(o, MultiModalData, mm_hashes),
             *ranges = GET(o, MultiModalData, mm_placeholders),
             *items = GET(o, MultiModalData, mm_items);
    if (!hashes || !ranges || !items || !PyDict_CheckExact(hashes) || !PyDict_CheckExact(ranges) ||
        !PyDict_CheckExact(items) || PyDict_GET_SIZE(hashes) != PyDict_GET_SIZE(items) ||
        PyDict_GET_SIZE(ranges) != PyDict_GET_SIZE(items))
        return 0;
    Py_ssize_t i = 0;
    PyObject *modality, *found;
    while (PyDict_Next(items, &i, &modality, &found)) {
        int fine, also;
        if (!ascii(modality) || processed_key(modality)) return 0;
        PyObject *shas = entry(hashes, modality, &fine), *spans = entry(ranges, modality, &also);
        if (!fine || !also || !shas || !spans || !PyList_CheckExact(found) ||
            !PyList_CheckExact(shas) || !PyList_CheckExact(spans))
            return 0;
        Py_ssize_t size = PyList_GET_SIZE(found);
        if (PyList_GET_SIZE(shas) != size || PyList_GET_SIZE(spans) != size) return 0;
        int64_t end = 0, offset, length;
        for (Py_ssize_t j = 0; j < size; j++) {
            if (!item_is_of(PyList_GET_ITEM(found, j), modality, PyList_GET_ITEM(shas, j)) ||
                !bounds(PyList_GET_ITEM(spans, j), &offset, &length) || offset < end)
                return 0;
            end = offset + length;
        }
    }
    return 1;
}

static int rule_streams(int shape, PyObject *o) {
    if (shape != S_MessageNode) return 0;
    static const int PER_SAMPLED[] = {MessageNode_logprobs, MessageNode_advantages,
        MessageNode_reference_logprobs, MessageNode_trainer_logprobs, MessageNode_entropies};
    Stream ids, mask, content, one;
    if (!stream(GET(o, MessageNode, token_ids), &ids) || !stream(GET(o, MessageNode, mask), &mask) ||
        !stream(GET(o, MessageNode, is_content), &content))
        return 0;
    if (mask.length != ids.length || (content.length && content.length != ids.length)) return 0;
    Py_ssize_t sampled = -1;
    for (size_t i = 0; i < sizeof PER_SAMPLED / sizeof *PER_SAMPLED; i++) {
        PyObject *value = AT(o, S_MessageNode, PER_SAMPLED[i]);
        if (!value) return 0;
        if (ABSENT(value)) continue;
        if (!stream(value, &one)) return 0;
        if (!one.length) continue;
        if (sampled < 0 && (sampled = count_true(&mask)) < 0) return 0;
        if (one.length != sampled) return 0;
    }
    PyObject *weights = GET(o, MessageNode, loss_weights),
             *experts = GET(o, MessageNode, routed_experts),
             *sets = GET(o, MessageNode, sampling_mask), *kept = GET(o, MessageNode, kept_tokens);
    if (!weights || !experts || !sets || !kept || !ABSENT(sets) || !ABSENT(kept)) return 0;
    if (!ABSENT(weights)) {
        Py_ssize_t i = 0;
        PyObject *key, *value;
        if (!PyDict_CheckExact(weights)) return 0;
        while (PyDict_Next(weights, &i, &key, &value))
            if (!stream(value, &one) || one.length != ids.length) return 0;
    }
    if (!ABSENT(experts)) {
        if (!IS(experts, EncodedArray)) return 0;
        PyObject *lengths = GET(experts, EncodedArray, shape);
        if (!lengths || !PyList_CheckExact(lengths) || !PyList_GET_SIZE(lengths)) return 0;
        if (natural(PyList_GET_ITEM(lengths, 0)) != ids.length) return 0;
    }
    return 1;
}

static int rule_outputs(int shape, PyObject *o) {
    if (shape != S_MessageNode) return 0;
    PyObject *versions = GET(o, MessageNode, weight_versions),
             *top = GET(o, MessageNode, top_logprobs);
    if (!versions || !top || !ABSENT(top)) return 0;
    if (ABSENT(versions)) return 1;
    Stream mask;
    if (!PyList_CheckExact(versions) || !stream(GET(o, MessageNode, mask), &mask)) return 0;
    int64_t end = 0, sampled = count_true(&mask);
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(versions); i++) {
        PyObject *span = PyList_GET_ITEM(versions, i);
        if (!IS(span, WeightVersion) || !GET(span, WeightVersion, version)) return 0;
        PyObject *first = GET(span, WeightVersion, start), *last = GET(span, WeightVersion, end);
        int64_t from = first ? natural(first) : -1, to = last ? natural(last) : -1;
        if (from < end || to < from) return 0;
        end = to;
    }
    return end <= sampled;
}

/* Whether no caller of `validate` gave more than the record, as `MediaChecks` does. */
int by_itself(void) {
    PyObject *value = NULL;
    if (PyContextVar_Get(setup.checks, NULL, &value) < 0) {
        PyErr_Clear();
        return 0;
    }
    int same = value == setup.by_itself;
    Py_XDECREF(value);
    return same;
}

/* Whether images are the only media of messages: code may have registered other modalities. */
int messages_as_known(void) {
    Py_ssize_t i = 0;
    PyObject *name, *modality;
    return PyDict_GET_SIZE(setup.in_messages) == 1 &&
           PyDict_Next(setup.in_messages, &i, &name, &modality) && modality == setup.image;
}

/* The number of image URLs of a message. With hashes, each URL must be of the image of the hash at
 * its index. -1 if Python has to decide. */
Py_ssize_t image_urls(PyObject *message, PyObject *hashes) {
    PyObject *content;
    if (!message) return -1;
    if (IS(message, UserMessage)) content = GET(message, UserMessage, content);
    else if (IS(message, ToolMessage)) content = GET(message, ToolMessage, content);
    else if (IS(message, SystemMessage)) content = GET(message, SystemMessage, content);
    else if (IS(message, AssistantMessage)) content = GET(message, AssistantMessage, content);
    else return -1;
    if (!content) return -1;
    if (!PyList_CheckExact(content)) return ABSENT(content) || PyUnicode_CheckExact(content) ? 0 : -1;
    Py_ssize_t found = 0;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(content); i++) {
        PyObject *part = PyList_GET_ITEM(content, i);
        if (IS(part, TextContentPart)) continue;
        PyObject *source = IS(part, ImageUrlContentPart) ? GET(part, ImageUrlContentPart, image_url) : NULL;
        PyObject *url = source && IS(source, ImageUrlSource) ? GET(source, ImageUrlSource, url) : NULL;
        if (!url || !PyUnicode_CheckExact(url)) return -1;
        if (hashes && (found >= PyList_GET_SIZE(hashes) ||
                       !names_image(url, PyList_GET_ITEM(hashes, found))))
            return -1;
        found++;
    }
    return found;
}

/* The list of images in a map of a sidecar; NULL if it has none. */
static PyObject *images_in(PyObject *by_modality, int *fine) {
    static PyObject *image;
    if (!image && !(image = PyUnicode_InternFromString("image"))) {
        PyErr_Clear();
        *fine = 0;
        return NULL;
    }
    PyObject *list = entry(by_modality, image, fine);
    if (list && !PyList_CheckExact(list)) *fine = 0;
    return list;
}

PyObject *image_ranges(PyObject *sidecar, int *fine) {
    return images_in(GET(sidecar, MultiModalData, mm_placeholders), fine);
}

static int rule_images(int shape, PyObject *o) {
    if (shape != S_MessageNode || !messages_as_known()) return 0;
    PyObject *message = GET(o, MessageNode, message), *data = GET(o, MessageNode, multi_modal_data);
    if (!message || !data) return 0;
    if (ABSENT(data)) {
        Stream ids;
        if (!stream(GET(o, MessageNode, token_ids), &ids)) return 0;
        Py_ssize_t urls = image_urls(message, NULL);
        return urls == 0 || (urls > 0 && (!ids.length || by_itself()));
    }
    if (!IS(data, MultiModalData)) return 0;
    int fine, also, three;
    PyObject *hashes = images_in(GET(data, MultiModalData, mm_hashes), &fine),
             *items = images_in(GET(data, MultiModalData, mm_items), &also),
             *ranges = image_ranges(data, &three);
    if (!fine || !also || !three) return 0;
    if (!hashes || !items) return !hashes && !items && !ranges && image_urls(message, NULL) == 0;
    Py_ssize_t urls = image_urls(message, hashes);
    return urls > 0 && urls == PyList_GET_SIZE(hashes) && urls == PyList_GET_SIZE(items);
}

static int rule_packed(int shape, PyObject *o) {
    return shape <= S_PackedFloats && packed_holds(shape, o);
}

static int rule_graph(int shape, PyObject *o) { return shape == S_Trace && graph_holds(o); }

static int (*const RULE[RULES])(int, PyObject *) = {
    [R_packed] = rule_packed, [R_payload] = rule_payload, [R_locator] = rule_locator, [R_sidecar] = rule_sidecar,
    [R_free_json] = rule_free_json, [R_wire_values] = rule_free_json, [R_finite] = rule_finite,
    [R_array_size] = rule_array_size, [R_streams] = rule_streams, [R_outputs] = rule_outputs,
    [R_images] = rule_images, [R_graph] = rule_graph,
};

/* Whether a struct obeys its rules. `numbers_are_checked`: the rule `finite` is known to hold. */
int rules_hold(int shape, PyObject *o, int numbers_are_checked) {
    const Shape *s = &SHAPE[shape];
    for (int i = 0; i < s->number_of_rules; i++) {
        int rule = s->rules[i];
        if (rule == R_finite && numbers_are_checked) continue;
        if (!RULE[rule] || !RULE[rule](shape, o)) return 0;
    }
    return 1;
}
