/* Addresses of different spaces are different types: mixing them does not compile. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hypercall.h"

#define PAGE_SHIFT 12

/* A guest-physical address: what a guest's stage 1 puts out, what stage 2 takes in. */
typedef struct {
    uint64_t value;
} gpa_t;

/* A host-physical address. The hypervisor maps itself and all RAM at VA = HPA. */
typedef struct {
    uint64_t value;
} hpa_t;

static inline gpa_t gpa(uint64_t value)
{
    return (gpa_t){value};
}

static inline hpa_t hpa(uint64_t value)
{
    return (hpa_t){value};
}

static inline void *pointer_to(hpa_t address)
{
    return (void *)(uintptr_t)address.value;
}

static inline hpa_t hpa_of(const void *pointer)
{
    return hpa((uintptr_t)pointer);
}

static inline uint64_t align_up(uint64_t value, uint64_t alignment)
{
    return (value + alignment - 1) & ~(alignment - 1);
}

static inline bool is_page_aligned(gpa_t address)
{
    return address.value % PAGE_SIZE == 0;
}
