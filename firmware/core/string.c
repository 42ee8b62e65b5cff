/* What the compiler expects to find, and text comparison. */
#include "hypervisor.h"

/* Both go word by word where the addresses allow it: for pages they do. */

void *memcpy(void *restrict target, const void *restrict source, size_t bytes)
{
    char *to = target;
    const char *from = source;
    if (((uintptr_t)to | (uintptr_t)from) % sizeof(uint64_t) == 0) {
        for (; bytes >= sizeof(uint64_t); bytes -= sizeof(uint64_t)) {
            *(uint64_t *)(void *)to = *(const uint64_t *)(const void *)from;
            to += sizeof(uint64_t);
            from += sizeof(uint64_t);
        }
    }
    while (bytes--)
        *to++ = *from++;
    return target;
}

void *memset(void *target, int byte, size_t bytes)
{
    char *to = target;
    uint64_t word = 0x0101010101010101ull * (uint8_t)byte;
    if ((uintptr_t)to % sizeof word == 0)
        for (; bytes >= sizeof word; bytes -= sizeof word, to += sizeof word)
            *(uint64_t *)(void *)to = word;
    while (bytes--)
        *to++ = (char)byte;
    return target;
}

bool text_equals(const char *left, const char *right)
{
    while (*left && *left == *right)
        left++, right++;
    return *left == *right;
}
