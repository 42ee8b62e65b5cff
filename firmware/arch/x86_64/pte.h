/* The nested page table's entry: a long-mode entry (AMD64 APM vol. 2, 5.3 and 15.25).
 *
 *   63   62..52  51 ........ 12  11..9  8  7   6  5  4    3    2  1  0
 *   NX   zero    frame or table  -      -  PS  D  A  PCD  PWT  U  W  P
 *
 * Every access of a guest counts as a user access, so U is set everywhere. The CPU
 * sets A and D. An entry of a table grants everything; the leaf decides. */
#pragma once

#include "address.h"

#define STAGE2_LEVELS      4u
#define STAGE2_ROOT_FRAMES 1u

#define PTE_P     (1ull << 0)
#define PTE_W     (1ull << 1)
#define PTE_U     (1ull << 2)
#define PTE_NX    (1ull << 63)
#define PTE_FRAME 0x000ffffffffff000ull

typedef uint64_t pte_t;
#define PTE_ABSENT 0ull

static inline size_t pte_index(gpa_t address, unsigned level)
{
    return (address.value >> (PAGE_SHIFT + 9 * level)) & 511;
}

static inline pte_t pte_leaf(hpa_t frame, unsigned rights)
{
    return frame.value | PTE_P | PTE_U | (rights & ACCESS_WRITE ? PTE_W : 0)
           | (rights & ACCESS_EXECUTE ? 0 : PTE_NX);
}

static inline pte_t pte_table(hpa_t table)
{
    return table.value | PTE_P | PTE_W | PTE_U;
}

static inline bool pte_is_present(pte_t entry)
{
    return entry & PTE_P;
}

static inline hpa_t pte_frame(pte_t entry)
{
    return hpa(entry & PTE_FRAME);
}

static inline unsigned pte_rights(pte_t entry)
{
    return ACCESS_READ | (entry & PTE_W ? ACCESS_WRITE : 0) | (entry & PTE_NX ? 0 : ACCESS_EXECUTE);
}

/* Stores are seen in their order, by table walkers too (APM vol. 2, 7.2). */
static inline void pte_publish(void)
{
}
