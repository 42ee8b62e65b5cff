/* One lock guards frames, tables, owners and slots. It is held for the time of one
 * operation, with interrupts off, and never across a guest's run. */
#pragma once

#include "hypervisor.h"

/* Alone in its cache line: who spins on it slows down nobody's other work. */
struct lock {
    _Alignas(64) int held;
};

extern struct lock hypervisor_lock;

static inline void lock(struct lock *lock)
{
    for (uint64_t tries = 0; __atomic_exchange_n(&lock->held, 1, __ATOMIC_ACQUIRE); tries++)
        if (tries > SPIN_LIMIT)
            panic("a lock is never given back");
}

static inline void unlock(struct lock *lock)
{
    __atomic_store_n(&lock->held, 0, __ATOMIC_RELEASE);
}
