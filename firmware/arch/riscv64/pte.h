/* The G-stage entry: Sv39x4 (RISC-V privileged architecture, 4.4.1 and 8.5.1).
 *
 *   63   62..61  60..54  53 ................. 10  9..8  7  6  5  4  3  2  1  0
 *   N    PBMT    zero    frame or table >> 12     RSW   D  A  G  U  X  W  R  V
 *
 * Every access of a guest counts as a user access, so a leaf has U set. A and D are set
 * from the start: no CPU needs to write here, whether it would or fault instead. An entry
 * of a table has V alone. The root is four frames: two more bits of address select in it. */
#pragma once

#include "address.h"

#define STAGE2_LEVELS      3u
#define STAGE2_ROOT_FRAMES 4u

#define PTE_V (1ull << 0)
#define PTE_R (1ull << 1)
#define PTE_W (1ull << 2)
#define PTE_X (1ull << 3)
#define PTE_U (1ull << 4)
#define PTE_A (1ull << 6)
#define PTE_D (1ull << 7)

#define PTE_FRAME_SHIFT 10
#define PTE_FRAME       (((1ull << 44) - 1) << PTE_FRAME_SHIFT)

typedef uint64_t pte_t;
#define PTE_ABSENT 0ull

static inline size_t pte_index(gpa_t address, unsigned level)
{
    unsigned bits = level == STAGE2_LEVELS - 1 ? 11 : 9;
    return (address.value >> (PAGE_SHIFT + 9 * level)) & ((1u << bits) - 1);
}

static inline pte_t pte_table(hpa_t table)
{
    return table.value >> PAGE_SHIFT << PTE_FRAME_SHIFT | PTE_V;
}

static inline pte_t pte_leaf(hpa_t frame, unsigned rights)
{
    return pte_table(frame) | PTE_R | PTE_U | PTE_A | PTE_D | (rights & ACCESS_WRITE ? PTE_W : 0)
           | (rights & ACCESS_EXECUTE ? PTE_X : 0);
}

static inline bool pte_is_present(pte_t entry)
{
    return entry & PTE_V;
}

static inline hpa_t pte_frame(pte_t entry)
{
    return hpa((entry & PTE_FRAME) >> PTE_FRAME_SHIFT << PAGE_SHIFT);
}

static inline unsigned pte_rights(pte_t entry)
{
    return ACCESS_READ | (entry & PTE_W ? ACCESS_WRITE : 0) | (entry & PTE_X ? ACCESS_EXECUTE : 0);
}

/* Whoever is told of the entry sees it, for unlock() has a fence before its store. A walker
 * may have kept the absent one. The fault that this gives fences it away: see
 * arch_vcpu_run(). */
static inline void pte_publish(void)
{
}
