/* What each frame of RAM is, and the pool of free ones. */
#include "hypervisor.h"

struct frame frames[RAM_SIZE / PAGE_SIZE];

static struct frame *pool;

void frames_init(hpa_t first)
{
    pool = frame_at(first);
    if (!pool || pool + POOL_FRAMES > frames + RAM_SIZE / PAGE_SIZE)
        panic("the pool does not fit into RAM");
    for (size_t i = 0; i < POOL_FRAMES; i++)
        pool[i].kind = FRAME_FREE;
}

static hpa_t address_of(const struct frame *frame)
{
    return hpa(RAM_BASE + (uint64_t)(frame - frames) * PAGE_SIZE);
}

bool frame_take(enum frame_kind kind, unsigned owner, hpa_t *address)
{
    for (size_t i = 0; i < POOL_FRAMES; i++) {
        if (pool[i].kind != FRAME_FREE)
            continue;
        pool[i] = (struct frame){.kind = (uint8_t)kind, .owner = (uint8_t)owner};
        *address = address_of(&pool[i]);
        memset(pointer_to(*address), 0, PAGE_SIZE);
        return true;
    }
    return false;
}

void frame_release(hpa_t address)
{
    *frame_at(address) = (struct frame){.kind = FRAME_FREE};
}
