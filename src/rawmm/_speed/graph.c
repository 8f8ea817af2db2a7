/* The rule of a trace: parents, placeholder ranges and media tokens across nodes. */
#include "speed.h"

typedef struct {
    int64_t wanted; /* the image token; -1 if the map is empty */
    int missing;    /* the map names no image token, but others */
} Ids;

/* Read a map of token types that names one image token and no token of another medium. */
static int read_ids(PyObject *types, Ids *out) {
    *out = (Ids){-1, 0};
    if (!types) return 0;
    if (ABSENT(types)) return 1;
    if (!PyDict_CheckExact(types)) return 0;
    Py_ssize_t i = 0;
    PyObject *key, *kind;
    const Type *map = SHAPE[S_Trace].fields[Trace_mm_token_type_id_map].type;
    while (PyDict_Next(types, &i, &key, &kind)) {
        if (!ascii(key) || !value_fits(map->key, key) || !value_fits(map->item, kind)) return 0;
        int64_t number = natural(kind), token = 0;
        if (number == 0 || number > 2) continue; /* no type of a medium; see tokens_as_known */
        if (number == 2 || out->wanted >= 0) return 0;
        for (const char *at = characters(key); *at; at++) token = token * 10 + (*at - '0');
        out->wanted = token;
    }
    out->missing = PyDict_GET_SIZE(types) > 0 && out->wanted < 0;
    return 1;
}

/* Whether 1 and 2 are the only types of media tokens: code may have registered others. */
static int tokens_as_known(void) {
    Py_ssize_t i = 0;
    PyObject *type, *name;
    if (PyDict_GET_SIZE(setup.token_types) != 2) return 0;
    while (PyDict_Next(setup.token_types, &i, &type, &name)) {
        int64_t number = natural(type);
        if (number != 1 && number != 2) return 0;
        if (!ascii(name) || (number == 1) != !strcmp(characters(name), "image")) return 0;
    }
    return 1;
}

/* 1 if a map of a sidecar has an entry, 0 if not, -1 if Python has to decide. */
static int has_entries(PyObject *by_modality) {
    if (!by_modality || !PyDict_CheckExact(by_modality)) return -1;
    Py_ssize_t i = 0;
    PyObject *key, *list;
    int found = 0;
    while (PyDict_Next(by_modality, &i, &key, &list)) {
        if (!PyList_CheckExact(list)) return -1;
        found |= PyList_GET_SIZE(list) > 0;
    }
    return found;
}

/* Whether all ranges of a sidecar lie in the tokens from `start` to `end`. */
static int ranges_within(PyObject *sidecar, int64_t start, int64_t end) {
    Py_ssize_t i = 0;
    PyObject *key, *list;
    while (PyDict_Next(GET(sidecar, MultiModalData, mm_placeholders), &i, &key, &list))
        for (Py_ssize_t j = 0; j < PyList_GET_SIZE(list); j++) {
            int64_t offset, length;
            if (!bounds(PyList_GET_ITEM(list, j), &offset, &length)) return 0;
            if (offset < start || offset + length > end) return 0;
        }
    return 1;
}

typedef struct {
    int64_t end;      /* the number of tokens up to a node's last one */
    Py_ssize_t parts; /* image parts whose tokens are to come */
} Placed;

typedef struct {
    int with_items, without_items;
} Found;

static int node_holds(PyObject *node, const Ids *ids, const Placed *before, Placed *after, Found *found) {
    PyObject *message = GET(node, MessageNode, message), *data = GET(node, MessageNode, multi_modal_data);
    Stream tokens, mask;
    if (!message || !data || !stream(GET(node, MessageNode, token_ids), &tokens) ||
        !stream(GET(node, MessageNode, mask), &mask))
        return 0;
    int64_t start = before->end;
    *after = (Placed){start + tokens.length, before->parts};
    int described = 0;
    if (!ABSENT(data)) {
        if (!IS(data, MultiModalData)) return 0;
        int items = has_entries(GET(data, MultiModalData, mm_items)),
            ranges = has_entries(GET(data, MultiModalData, mm_placeholders)),
            hashes = has_entries(GET(data, MultiModalData, mm_hashes));
        if (items < 0 || ranges < 0 || hashes < 0) return 0;
        described = items || ranges || hashes;
    }
    if (described) {
        int fine;
        PyObject *ranges = image_ranges(data, &fine);
        found->with_items = 1;
        return fine && !before->parts && tokens.length && !ids->missing &&
               ranges_within(data, start, after->end) &&
               (ids->wanted < 0 || only_in_ranges(&tokens, ranges, start, ids->wanted));
    }
    Py_ssize_t own = image_urls(message, NULL);
    if (own < 0) return 0;
    after->parts += own;
    if (!tokens.length) return 1;
    if (after->parts) {
        if (ids->missing) return 0;
        found->without_items = 1;
    }
    if (ids->wanted >= 0 && !has_runs(&tokens, &mask, ids->wanted, after->parts)) return 0;
    after->parts = 0;
    return 1;
}

int graph_holds(PyObject *trace) {
    static const Placed START = {0, 0};
    PyObject *nodes = GET(trace, Trace, nodes);
    Ids ids;
    if (!by_itself() || !messages_as_known() || !tokens_as_known()) return 0;
    if (!nodes || !PyList_CheckExact(nodes)) return 0;
    if (!read_ids(GET(trace, Trace, mm_token_type_id_map), &ids)) return 0;
    Py_ssize_t size = PyList_GET_SIZE(nodes);
    Placed few[64], *placed = size <= 64 ? few : PyMem_Malloc((size_t)size * sizeof *placed);
    if (!placed) return 0;
    Found found = {0, 0};
    int fine = 1;
    for (Py_ssize_t i = 0; fine && i < size; i++) {
        PyObject *node = PyList_GET_ITEM(nodes, i);
        const Placed *before = &START;
        fine = IS(node, MessageNode);
        if (!fine) break;
        PyObject *parent = GET(node, MessageNode, parent);
        fine = parent != NULL;
        if (fine && !ABSENT(parent)) {
            int64_t at = natural(parent);
            fine = at >= 0 && at < i;
            if (fine) before = &placed[at];
        }
        fine = fine && node_holds(node, &ids, before, &placed[i], &found);
    }
    if (placed != few) PyMem_Free(placed);
    return fine && !(found.with_items && found.without_items);
}
