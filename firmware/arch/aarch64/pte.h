/* The stage-2 entry: a descriptor of VMSAv8-64 (Arm ARM DDI 0487, D8.3) with 4 KiB
 * granule. A walk begins at level 1 (Arm counts from the root) and takes 39 bits.
 *
 *   54..53  47 ........ 12  11  10  9..8  7..6  5..2     1..0
 *   XN      frame or table  -   AF  SH    S2AP  MemAttr  11
 *
 * XN 10: EL1 and EL0 do not execute, with FEAT_XNX and without. SH 11: inner shareable.
 * S2AP: write, read. An entry of a table grants everything; the leaf decides. */
#pragma once

#include "address.h"
#include "cpu.h"

#define STAGE2_LEVELS      3u
#define STAGE2_ROOT_FRAMES 1u

#define PTE_VALID 3ull /* a table, or at the last level a page */
#define PTE_READ  (1ull << 6)
#define PTE_WRITE (1ull << 7)
#define PTE_SHARE (3ull << 8)
#define PTE_AF    (1ull << 10)
#define PTE_XN    (2ull << 53)
#define PTE_FRAME 0x0000fffffffff000ull

/* Write-back cacheable, unless the guest's stage 1 says less; and with FEAT_S2FWB, which
 * reads these bits differently, whatever it says (D8.6.5). */
#define PTE_WRITE_BACK        (0xfull << 2)
#define PTE_FORCED_WRITE_BACK (0x6ull << 2)

typedef uint64_t pte_t;
#define PTE_ABSENT 0ull

extern pte_t pte_memory; /* vcpu.c: which of the two this CPU knows */

static inline size_t pte_index(gpa_t address, unsigned level)
{
    return (address.value >> (PAGE_SHIFT + 9 * level)) & 511;
}

/* A guest that goes around the caches must not find there what was in the frame before. */
static inline pte_t pte_leaf(hpa_t frame, unsigned rights)
{
    if (pte_memory != PTE_FORCED_WRITE_BACK)
        clean(frame, PAGE_SIZE);
    return frame.value | PTE_VALID | PTE_AF | PTE_SHARE | PTE_READ | pte_memory
           | (rights & ACCESS_WRITE ? PTE_WRITE : 0) | (rights & ACCESS_EXECUTE ? 0 : PTE_XN);
}

static inline pte_t pte_table(hpa_t table)
{
    return table.value | PTE_VALID;
}

static inline bool pte_is_present(pte_t entry)
{
    return entry & 1;
}

static inline hpa_t pte_frame(pte_t entry)
{
    return hpa(entry & PTE_FRAME);
}

static inline unsigned pte_rights(pte_t entry)
{
    return ACCESS_READ | (entry & PTE_WRITE ? ACCESS_WRITE : 0) | (entry & PTE_XN ? 0 : ACCESS_EXECUTE);
}

static inline void pte_publish(void)
{
    __asm__ volatile("dsb ishst" : : : "memory");
}
