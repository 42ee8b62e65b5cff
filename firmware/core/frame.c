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

static void give(struct frame *frame, enum frame_kind kind, unsigned owner)
{
    *frame = (struct frame){.kind = (uint8_t)kind, .owner = (uint8_t)owner};
    memset(pointer_to(address_of(frame)), 0, PAGE_SIZE);
}

bool frame_take(enum frame_kind kind, unsigned owner, hpa_t *address)
{
    for (size_t i = 0; i < POOL_FRAMES; i++) {
        if (pool[i].kind != FRAME_FREE)
            continue;
        give(&pool[i], kind, owner);
        *address = address_of(&pool[i]);
        return true;
    }
    return false;
}

static bool all_free(const struct frame *first, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (first[i].kind != FRAME_FREE)
            return false;
    return true;
}

bool frames_take_root(unsigned owner, hpa_t *address)
{
    for (size_t i = 0; i + STAGE2_ROOT_FRAMES <= POOL_FRAMES; i += STAGE2_ROOT_FRAMES) {
        if (!all_free(&pool[i], STAGE2_ROOT_FRAMES))
            continue;
        for (size_t j = 0; j < STAGE2_ROOT_FRAMES; j++)
            give(&pool[i + j], FRAME_TABLE, owner);
        *address = address_of(&pool[i]);
        return true;
    }
    return false;
}

void frame_release(hpa_t address)
{
    *frame_at(address) = (struct frame){.kind = FRAME_FREE};
}
