/* How much RAM there is: the device tree that lies at its start says so (Devicetree
 * Specification v0.4, chapter 5). All its numbers are big-endian. */
#include "hypervisor.h"

#define FDT_MAGIC      0xd00dfeedu
#define FDT_BEGIN_NODE 1u
#define FDT_END_NODE   2u
#define FDT_PROP       3u
#define FDT_NOP        4u

struct fdt_header {
    uint32_t magic, total_size, structure, strings;
};

extern const char hypervisor_start[];

static uint32_t number(const uint32_t *place)
{
    return __builtin_bswap32(*place);
}

static uint64_t wide(const uint32_t *place)
{
    return (uint64_t)number(place) << 32 | number(place + 1);
}

static bool begins_with(const char *text, const char *word)
{
    while (*word && *text == *word)
        text++, word++;
    return !*word;
}

/* Words of a text with its end, or of a property's value. */
static size_t words(size_t bytes)
{
    return (bytes + 3) / 4;
}

static size_t length(const char *text)
{
    size_t bytes = 0;
    while (text[bytes])
        bytes++;
    return bytes;
}

/* Where the "reg" of the memory node is: address and size, two words each as the root of
 * this board's tree has it. NULL: there is none. */
static const uint32_t *find_memory(const struct fdt_header *tree)
{
    const char *start = (const char *)tree;
    const char *strings = start + number(&tree->strings);
    const uint32_t *token = (const void *)(start + number(&tree->structure));
    bool in_memory = false;
    for (;;) {
        switch (number(token++)) {
        case FDT_BEGIN_NODE:
            in_memory = begins_with((const char *)token, "memory@");
            token += words(length((const char *)token) + 1);
            break;
        case FDT_PROP:
            if (in_memory && text_equals(strings + number(token + 1), "reg"))
                return token + 2;
            token += 2 + words(number(token));
            break;
        case FDT_END_NODE:
        case FDT_NOP:
            break;
        default:
            return NULL;
        }
    }
}

void ram_check(void)
{
    const struct fdt_header *tree = pointer_to(hpa(RAM_BASE));
    if (number(&tree->magic) != FDT_MAGIC)
        panic("there is no device tree at 0x%lx", RAM_BASE);
    const uint32_t *memory = find_memory(tree);
    if (!memory || wide(memory) > RAM_BASE || wide(memory) + wide(memory + 2) < RAM_BASE + RAM_SIZE)
        panic("there is no RAM from 0x%lx to 0x%lx", RAM_BASE, RAM_BASE + RAM_SIZE);
}
