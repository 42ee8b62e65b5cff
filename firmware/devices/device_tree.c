/* Where RAM ends, from the flattened device tree (Devicetree specification 0.4, chapter 5):
 * big-endian words, of which a structure is made
 *
 *   BEGIN_NODE name...  { PROPERTY length name-offset value... | NOP | a node }  END_NODE
 *
 * The root says that addresses and sizes below it have two words each, as all boards of
 * 64 bits do. */
#include "devices.h"
#include "hypervisor.h"

#define MAGIC      0xd00dfeedu
#define STRUCTURE  2u /* words of the header: where its parts are */
#define STRINGS    3u
#define BEGIN_NODE 1u
#define END_NODE   2u
#define PROPERTY   3u
#define END        9u

static uint32_t word(const uint32_t *at)
{
    const uint8_t *byte = (const uint8_t *)at; /* gcc has no function for it where the CPU has none */
    return (uint32_t)byte[0] << 24 | (uint32_t)byte[1] << 16 | (uint32_t)byte[2] << 8 | byte[3];
}

static uint64_t two_words(const uint32_t *at)
{
    return (uint64_t)word(at) << 32 | word(at + 1);
}

static bool starts_with(const char *text, const char *start)
{
    while (*start && *text == *start)
        text++, start++;
    return !*start;
}

static const uint32_t *skip(const uint32_t *at, size_t bytes)
{
    return at + align_up(bytes, sizeof *at) / sizeof *at;
}

static const uint32_t *skip_name(const uint32_t *at)
{
    size_t length = 0;
    while (((const char *)at)[length])
        length++;
    return skip(at, length + 1);
}

hpa_t ram_end(hpa_t device_tree)
{
    const uint32_t *header = pointer_to(device_tree);
    if (word(header) != MAGIC)
        panic("there is no device tree at 0x%lx", device_tree.value);
    const char *strings = (const char *)header + word(header + STRINGS);
    const uint32_t *at = skip(header, word(header + STRUCTURE));
    bool in_memory = false;
    while (word(at) != END) {
        uint32_t token = word(at++);
        if (token == BEGIN_NODE) {
            in_memory = starts_with((const char *)at, "memory@");
            at = skip_name(at);
        } else if (token == END_NODE) {
            in_memory = false;
        } else if (token == PROPERTY) {
            const uint32_t *value = at + 2;
            if (in_memory && text_equals(strings + word(at + 1), "reg") && two_words(value) <= RAM_BASE)
                return hpa(two_words(value) + two_words(value + 2));
            at = skip(value, word(at));
        }
    }
    return hpa(0);
}
