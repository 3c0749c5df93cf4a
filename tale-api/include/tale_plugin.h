/* The plugin boundary of TALE, version 1.1. docs/abi.md says what each function means.
 *
 * A plugin is a shared library that exports one symbol, `tale_plugin`: a constant `tale_plugin_t`
 * with its manifest, which is JSON, right behind it. TALE_PLUGIN writes it:
 *
 *     #define MANIFEST "{\"name\":\"mine\",\"version\":\"1.0\",\"components\":[...]}"
 *     TALE_PLUGIN(MANIFEST, my_start)
 */
#ifndef TALE_PLUGIN_H
#define TALE_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TALE_ABI_MAJOR 1u
#define TALE_ABI_MINOR 1u

/* The object that exists without having been created. */
#define TALE_ROOT 0u

/* `finish`: what the bytes are. */
#define TALE_STATUS_REPLY 0u
#define TALE_STATUS_ERROR 1u

/* `event`: what the listener answers. */
#define TALE_EVENT_GO_ON 0
#define TALE_EVENT_UNWANTED 1

/* Bytes lent for the duration of one function call; UTF-8, not closed by a NUL. `ptr` may be NULL
 * only if `len` is 0. Whoever wants to keep them copies them. */
typedef struct tale_bytes {
    const uint8_t *ptr;
    size_t len;
} tale_bytes;

/* What one side can do to the other. Its owner keeps it unchanged for the life of the process. Every
 * function may be called from any thread, and from within another; none may throw or unwind. All
 * of them must be there. */
typedef struct tale_peer {
    size_t struct_size; /* sizeof(tale_peer) as its owner knows it; fields are only ever added */
    void *ctx;          /* handed back in every call */

    /* Starts call number `call`, chosen by the caller and never used twice, of `method` on `object`.
     * Returns soon. `finish` may come before it returns. */
    void (*call)(void *ctx, uint64_t object, uint64_t call, tale_bytes method, tale_bytes request);
    /* The caller gave up `call`: stop it and free what it holds. An unknown number is ignored. */
    void (*cancel)(void *ctx, uint64_t call);
    /* An event of a call that this table's owner made. TALE_EVENT_GO_ON or TALE_EVENT_UNWANTED. */
    int32_t (*event)(void *ctx, uint64_t call, tale_bytes event);
    /* The end of a call that this table's owner made, once: TALE_STATUS_REPLY with the reply, or
     * TALE_STATUS_ERROR with an error. */
    void (*finish)(void *ctx, uint64_t call, uint32_t status, tale_bytes reply);
    /* The other side will not use `object` again. An unknown number is ignored. */
    void (*release)(void *ctx, uint64_t object);
    /* A log record: level 1 (error) to 5 (trace), where from, and a JSON object with `message`. */
    void (*log)(void *ctx, uint32_t level, tale_bytes target, tale_bytes fields);
} tale_peer;

/* Gets the host's table and a JSON object about the host; gives the plugin's table, or NULL. */
typedef const tale_peer *(*tale_start)(const tale_peer *host, tale_bytes host_info);

/* The fixed part of a descriptor. `manifest_len` bytes of JSON follow at offset `struct_size`. */
typedef struct tale_plugin_t {
    char magic[8]; /* "TALEPLUG", without a NUL */
    uint32_t abi_major;
    uint32_t abi_minor;
    uint32_t struct_size; /* sizeof(tale_plugin_t) */
    uint32_t manifest_len;
    tale_start start;
} tale_plugin_t;

#if defined(_WIN32)
#define TALE_EXPORT __declspec(dllexport)
#else
#define TALE_EXPORT __attribute__((visibility("default")))
#endif

/* Defines and exports the descriptor. `json` is a string literal. For C; in C++ define a struct of
 * the same form, because a `const` object there has no external linkage by itself. */
#define TALE_PLUGIN(json, start_function)                                                          \
    TALE_EXPORT const struct {                                                                     \
        tale_plugin_t head;                                                                        \
        char manifest[sizeof(json)];                                                               \
    } tale_plugin = {{{'T', 'A', 'L', 'E', 'P', 'L', 'U', 'G'},                                    \
                      TALE_ABI_MAJOR,                                                              \
                      TALE_ABI_MINOR,                                                              \
                      sizeof(tale_plugin_t),                                                       \
                      sizeof(json) - 1,                                                            \
                      start_function},                                                             \
                     json};

/* The layouts that tale-api asserts from its side. */
#if defined(__cplusplus)
#define TALE_ASSERT(what) static_assert(what, #what)
#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
#define TALE_ASSERT(what) _Static_assert(what, #what)
#else
#define TALE_ASSERT(what) typedef int tale_assert_unused
#endif
#if UINTPTR_MAX == UINT64_MAX
TALE_ASSERT(sizeof(tale_bytes) == 16 && offsetof(tale_bytes, len) == 8);
TALE_ASSERT(sizeof(tale_peer) == 64 && offsetof(tale_peer, ctx) == 8);
TALE_ASSERT(offsetof(tale_peer, call) == 16 && offsetof(tale_peer, cancel) == 24);
TALE_ASSERT(offsetof(tale_peer, event) == 32 && offsetof(tale_peer, finish) == 40);
TALE_ASSERT(offsetof(tale_peer, release) == 48 && offsetof(tale_peer, log) == 56);
TALE_ASSERT(sizeof(tale_plugin_t) == 32 && offsetof(tale_plugin_t, abi_major) == 8);
TALE_ASSERT(offsetof(tale_plugin_t, abi_minor) == 12 && offsetof(tale_plugin_t, struct_size) == 16);
TALE_ASSERT(offsetof(tale_plugin_t, manifest_len) == 20 && offsetof(tale_plugin_t, start) == 24);
#endif

#ifdef __cplusplus
}
#endif

#endif
