/* A language model in C, for TALE: it says the last message back, word by word.
 *
 * The three places to fill in for a model of your own are marked FILL IN. The rest is the protocol
 * of docs/abi.md: read a request, send events, finish once. JSON is read by the few functions at the
 * top, so that the example needs nothing but a C compiler; use a library for more than this.
 *
 * This model answers within `call`, which is allowed because it is quick. One that computes has to
 * answer from a thread of its own, and to heed `cancel`.
 */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tale_plugin.h"

/* ---- JSON, as much as is needed ---------------------------------------------------------------- */

typedef struct text { /* a growing buffer */
    char *data;
    size_t len, cap;
    bool failed;
} text;

static void put(text *t, const char *data, size_t len) {
    if (t->failed || len > SIZE_MAX / 4 - t->len) { t->failed = true; return; }
    if (t->len + len + 1 > t->cap) {
        size_t cap = (t->len + len + 1) * 2;
        char *grown = realloc(t->data, cap);
        if (!grown) { t->failed = true; return; }
        t->data = grown;
        t->cap = cap;
    }
    if (len) memcpy(t->data + t->len, data, len);
    t->len += len;
    t->data[t->len] = 0;
}

static void puts_to(text *t, const char *s) { put(t, s, strlen(s)); }

typedef struct json { /* what is left to read; `at` never passes `end` */
    const char *at, *end;
} json;

static void skip_space(json *j) {
    while (j->at < j->end && (*j->at == ' ' || *j->at == '\t' || *j->at == '\n' || *j->at == '\r')) j->at++;
}

/* Reads past a string; `raw` gets what stands between its quotes, with the escapes left in. */
static bool read_string(json *j, json *raw) {
    skip_space(j);
    if (j->at == j->end || *j->at != '"') return false;
    const char *start = ++j->at;
    while (j->at < j->end && *j->at != '"') j->at += *j->at == '\\' ? 2 : 1;
    if (j->at >= j->end) return false;
    if (raw) *raw = (json){start, j->at};
    j->at++;
    return true;
}

/* Reads past any value; strings are what brackets could hide in. */
static bool skip_value(json *j) {
    int depth = 0;
    do {
        skip_space(j);
        if (j->at == j->end) return false;
        char c = *j->at;
        if (c == '"') {
            if (!read_string(j, NULL)) return false;
        } else {
            if (c == '{' || c == '[') depth++;
            if (c == '}' || c == ']') depth--;
            j->at++;
        }
        /* A bare number or word ends where the value around it goes on. */
        if (depth == 0 && c != '"' && c != '}' && c != ']')
            while (j->at < j->end && !strchr(",]} \t\r\n", *j->at)) j->at++;
    } while (depth > 0);
    return true;
}

/* Finds the member `key` of the object at `j`. */
static bool member(json object, const char *key, json *value) {
    skip_space(&object);
    if (object.at == object.end || *object.at != '{') return false;
    object.at++;
    for (;;) {
        json name;
        if (!read_string(&object, &name)) return false;
        skip_space(&object);
        if (object.at == object.end || *object.at != ':') return false;
        object.at++;
        skip_space(&object);
        json found = object;
        if (!skip_value(&object)) return false;
        found.end = object.at;
        if ((size_t)(name.end - name.at) == strlen(key) && !memcmp(name.at, key, strlen(key))) {
            *value = found;
            return true;
        }
        skip_space(&object);
        if (object.at == object.end || *object.at != ',') return false;
        object.at++;
    }
}

/* Steps through an array: the first call with `rest` at its bracket. */
static bool element(json *rest, json *value) {
    skip_space(rest);
    if (rest->at == rest->end || (*rest->at != '[' && *rest->at != ',')) return false;
    rest->at++;
    skip_space(rest);
    if (rest->at == rest->end || *rest->at == ']') return false;
    *value = *rest;
    if (!skip_value(rest)) return false;
    value->end = rest->at;
    return true;
}

static bool number(json object, const char *key, double *value) {
    json found;
    char digits[40] = {0};
    if (!member(object, key, &found)) return false;
    size_t len = (size_t)(found.end - found.at);
    if (len >= sizeof digits) return false;
    memcpy(digits, found.at, len);
    char *end;
    *value = strtod(digits, &end);
    return end != digits;
}

/* ---- The plugin -------------------------------------------------------------------------------- */

static const tale_peer *host;
static _Atomic uint64_t next_object = 1;
static _Atomic uint64_t live_objects = 1; /* the root is always there */

static tale_bytes lend(const char *s, size_t len) { return (tale_bytes){(const uint8_t *)s, len}; }

static void reply(uint64_t call, const char *s) {
    host->finish(host->ctx, call, TALE_STATUS_REPLY, lend(s, strlen(s)));
}

/* `message` must be free of quotes and backslashes. */
static void refuse(uint64_t call, const char *kind, const char *message) {
    char error[512];
    snprintf(error, sizeof error, "{\"kind\":\"%s\",\"message\":\"%s\"}", kind, message);
    host->finish(host->ctx, call, TALE_STATUS_ERROR, lend(error, strlen(error)));
}

/* FILL IN: read your options, load your model. */
static void create(uint64_t call, json request) {
    json options;
    if (!member(request, "options", &options) || *options.at != '{') {
        refuse(call, "invalid_options", "options that are no object");
        return;
    }
    options.at++;
    skip_space(&options);
    if (options.at < options.end && *options.at != '}') {
        refuse(call, "invalid_options", "this model has no options");
        return;
    }
    char made[64];
    atomic_fetch_add(&live_objects, 1);
    snprintf(made, sizeof made, "{\"object\":%" PRIu64 "}", atomic_fetch_add(&next_object, 1));
    reply(call, made);
}

/* FILL IN: what your model is and can do. */
static void info(uint64_t call) {
    reply(call, "{\"model\":\"echo-c\",\"capabilities\":{\"seed\":true,\"count_tokens\":true}}");
}

/* The end of the word at `at`, with the space after it: this model's token. An escape such as \" or
 * \u4f60 stays whole, because no escape contains a space. */
static const char *word_end(const char *at, const char *end) {
    while (at < end && *at != ' ') at++;
    return at < end ? at + 1 : end;
}

static uint64_t count(json raw) {
    uint64_t n = 0;
    for (const char *at = raw.at; at < raw.end; at = word_end(at, raw.end)) n++;
    return n;
}

/* FILL IN: how your model answers. */
static void generate(uint64_t call, json request) {
    json messages, message, sampling, content, last = {0};
    uint64_t input = 0, output = 0;
    double temperature, limit = 1e18;
    if (!member(request, "messages", &messages)) {
        refuse(call, "invalid_input", "no messages");
        return;
    }
    while (element(&messages, &message)) {
        if (!member(message, "content", &content) || !read_string(&content, &last)) {
            refuse(call, "invalid_input", "a message without content");
            return;
        }
        input += count(last);
    }
    if (!last.at) {
        refuse(call, "invalid_input", "no message to answer");
        return;
    }
    if (member(request, "sampling", &sampling) && number(sampling, "temperature", &temperature)
        && temperature < 0) {
        refuse(call, "invalid_input", "the temperature is below 0");
        return;
    }
    if (member(request, "grammar", &content)) {
        refuse(call, "unsupported", "this model follows no grammar");
        return;
    }
    number(request, "max_tokens", &limit);

    text event = {0}, answer = {0};
    const char *at = last.at, *end = last.at;
    bool is_wanted = true;
    while (end < last.end && (double)output < limit) {
        end = word_end(at, last.end);
        if (is_wanted) {
            event.len = 0;
            puts_to(&event, "{\"type\":\"delta\",\"text\":\"");
            put(&event, at, (size_t)(end - at));
            puts_to(&event, "\"}");
            if (event.failed) break;
            is_wanted = host->event(host->ctx, call, lend(event.data, event.len)) == TALE_EVENT_GO_ON;
        }
        output++;
        at = end;
    }
    char rest[256];
    snprintf(rest, sizeof rest,
             "\",\"finish_reason\":\"%s\",\"usage\":{\"input_tokens\":%" PRIu64
             ",\"output_tokens\":%" PRIu64 "}}",
             end < last.end ? "length" : "stop", input, output);
    puts_to(&answer, "{\"text\":\"");
    put(&answer, last.at, (size_t)(end - last.at));
    puts_to(&answer, rest);
    if (event.failed || answer.failed)
        refuse(call, "resource_exhausted", "out of memory");
    else
        host->finish(host->ctx, call, TALE_STATUS_REPLY, lend(answer.data, answer.len));
    free(event.data);
    free(answer.data);
}

static void count_tokens(uint64_t call, json request) {
    json value, raw;
    char made[64];
    if (!member(request, "text", &value) || !read_string(&value, &raw)) {
        refuse(call, "protocol", "a request without text");
        return;
    }
    snprintf(made, sizeof made, "{\"tokens\":%" PRIu64 "}", count(raw));
    reply(call, made);
}

static bool is(tale_bytes method, const char *name) {
    return method.len == strlen(name) && !memcmp(method.ptr, name, method.len);
}

static void on_call(void *ctx, uint64_t object, uint64_t call, tale_bytes method, tale_bytes body) {
    (void)ctx;
    json request = {(const char *)body.ptr, (const char *)body.ptr + body.len};
    if (object == TALE_ROOT && is(method, "create")) {
        create(call, request);
    } else if (object == TALE_ROOT && is(method, "counts")) {
        char counts[64];
        snprintf(counts, sizeof counts, "{\"objects\":%" PRIu64 "}", atomic_load(&live_objects));
        reply(call, counts);
    } else if (object != TALE_ROOT && is(method, "info")) {
        info(call);
    } else if (object != TALE_ROOT && is(method, "generate")) {
        generate(call, request);
    } else if (object != TALE_ROOT && is(method, "count_tokens")) {
        count_tokens(call, request);
    } else {
        refuse(call, "unsupported", "no such method");
    }
}

static void on_release(void *ctx, uint64_t object) {
    (void)ctx;
    if (object != TALE_ROOT) atomic_fetch_sub(&live_objects, 1);
}

/* Calls end within `call`, so there is never one to cancel; and this plugin calls nothing itself. */
static void on_cancel(void *ctx, uint64_t call) { (void)ctx, (void)call; }
static int32_t on_event(void *ctx, uint64_t call, tale_bytes event) {
    (void)ctx, (void)call, (void)event;
    return TALE_EVENT_UNWANTED;
}
static void on_finish(void *ctx, uint64_t call, uint32_t status, tale_bytes answer) {
    (void)ctx, (void)call, (void)status, (void)answer;
}
static void on_log(void *ctx, uint32_t level, tale_bytes target, tale_bytes fields) {
    (void)ctx, (void)level, (void)target, (void)fields;
}

static const tale_peer table = {
    sizeof(tale_peer), NULL, on_call, on_cancel, on_event, on_finish, on_release, on_log,
};

static const tale_peer *start(const tale_peer *given, tale_bytes host_info) {
    (void)host_info;
    if (!given || given->struct_size < sizeof(tale_peer)) return NULL;
    host = given;
    return &table;
}

TALE_PLUGIN("{\"name\":\"llm-c\",\"version\":\"0.1.0\",\"components\":[{"
            "\"kind\":\"llm\",\"name\":\"echo-c\","
            "\"description\":\"Says the last message back, word by word\","
            "\"options\":{\"type\":\"object\",\"additionalProperties\":false}}]}",
            start)
