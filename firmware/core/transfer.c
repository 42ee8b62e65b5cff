/* Pages change hands. Every operation has two halves: its checks and reservations,
 * which may refuse and then leave all as it was, and its commit, which cannot fail.
 *
 *            source's entry    target's entry   owner    bytes
 *   remap    gone              read-write       target   stay
 *   share    read-only         read-only        source   stay
 *   copy     as it was         read-write       each     copied to another frame
 *
 * A received page is data: it is never executable. */
#include "hypervisor.h"

struct handover {
    struct vm *source, *target;
    gpa_t source_gpa, target_gpa;
    pte_t *entry;        /* the source's */
    struct frame *frame; /* its record */
    struct reserve reserve;
};

static bool in_ram(gpa_t page)
{
    return page.value - GUEST_RAM < GUEST_RAM_SIZE;
}

static bool in_window(gpa_t page)
{
    return page.value - GUEST_WINDOW < GUEST_WINDOW_SIZE;
}

static uint64_t *posted_word(struct vm *vm, gpa_t page, uint64_t *bit)
{
    uint64_t number = (page.value - GUEST_WINDOW) / PAGE_SIZE;
    *bit = 1ull << (number % 64);
    return &vm->posted[number / 64];
}

static bool is_posted(struct vm *vm, gpa_t page)
{
    uint64_t bit, *word = posted_word(vm, page, &bit);
    return *word & bit;
}

/* The page's entry and record, if it is a guest's frame that is mapped there. */
static enum status find_page(struct handover *h)
{
    if (!is_page_aligned(h->source_gpa))
        return STATUS_MISALIGNED;
    if (!in_ram(h->source_gpa) && !in_window(h->source_gpa))
        return STATUS_OUT_OF_RANGE;
    h->entry = stage2_find(h->source, h->source_gpa);
    if (!h->entry)
        return STATUS_NOT_MAPPED;
    h->frame = frame_at(pte_frame(*h->entry));
    if (!h->frame || h->frame->kind != FRAME_GUEST)
        return STATUS_PROTECTED;
    return STATUS_OK;
}

/* The arguments of remap, share and copy, checked in the order of the statuses. */
static enum status check(struct handover *h, const uint64_t *argument)
{
    h->source_gpa = gpa(argument[0]);
    h->target = vm_by_id(argument[1]);
    h->target_gpa = gpa(argument[2]);
    if (!h->target)
        return STATUS_UNKNOWN_VM;
    if (h->source == h->target)
        return STATUS_SAME_VM;
    if (!is_page_aligned(h->source_gpa) || !is_page_aligned(h->target_gpa))
        return STATUS_MISALIGNED;
    if (!in_window(h->target_gpa))
        return STATUS_OUT_OF_RANGE;
    enum status status = find_page(h);
    if (status != STATUS_OK)
        return status;
    if (h->frame->owner != h->source->id)
        return STATUS_NOT_OWNER;
    if (h->frame->borrower)
        return STATUS_SHARED;
    if (!is_posted(h->target, h->target_gpa))
        return STATUS_NOT_POSTED;
    if (stage2_find(h->target, h->target_gpa))
        return STATUS_OCCUPIED;
    return stage2_reserve(h->target, h->target_gpa, &h->reserve) ? STATUS_OK : STATUS_NO_MEMORY;
}

static void map_to_target(struct handover *h, hpa_t frame, unsigned rights)
{
    stage2_map(h->target, h->target_gpa, frame, rights, &h->reserve);
}

static enum status remap(struct handover *h, hpa_t *frame)
{
    *frame = pte_frame(*h->entry);
    stage2_unmap(h->source, h->source_gpa);
    h->frame->owner = (uint8_t)h->target->id;
    h->frame->owner_gpa = h->target_gpa;
    h->frame->rights = ACCESS_READ | ACCESS_WRITE;
    map_to_target(h, *frame, ACCESS_READ | ACCESS_WRITE);
    return STATUS_OK;
}

static enum status share(struct handover *h, hpa_t *frame)
{
    *frame = pte_frame(*h->entry);
    stage2_protect(h->source, h->source_gpa, ACCESS_READ);
    h->frame->borrower = (uint8_t)h->target->id;
    h->frame->borrower_gpa = h->target_gpa;
    map_to_target(h, *frame, ACCESS_READ);
    return STATUS_OK;
}

static void give_back_reserve(struct reserve *reserve)
{
    while (reserve->count > 0)
        frame_release(reserve->table[--reserve->count]);
}

static enum status copy(struct handover *h, hpa_t *frame)
{
    if (!frame_take(FRAME_GUEST, h->target->id, frame)) {
        give_back_reserve(&h->reserve);
        return STATUS_NO_MEMORY;
    }
    struct frame *record = frame_at(*frame);
    record->owner_gpa = h->target_gpa;
    record->rights = ACCESS_READ | ACCESS_WRITE;
    memcpy(pointer_to(*frame), pointer_to(pte_frame(*h->entry)), PAGE_SIZE);
    map_to_target(h, *frame, ACCESS_READ | ACCESS_WRITE);
    return STATUS_OK;
}

/* Both ways to end a share: the owner reclaims, the borrower relinquishes. */
static enum status end_share(struct handover *h, const uint64_t *argument, bool by_owner, hpa_t *frame)
{
    h->source_gpa = gpa(argument[0]);
    enum status status = find_page(h);
    if (status != STATUS_OK)
        return status;
    struct frame *record = h->frame;
    if (by_owner && record->owner != h->source->id)
        return STATUS_NOT_OWNER;
    if (by_owner ? !record->borrower : record->borrower != h->source->id)
        return STATUS_NOT_SHARED;
    *frame = pte_frame(*h->entry);
    stage2_unmap(&vms[record->borrower], record->borrower_gpa);
    stage2_protect(&vms[record->owner], record->owner_gpa, record->rights);
    record->borrower = 0;
    record->borrower_gpa = gpa(0);
    return STATUS_OK;
}

/* Whether pages may be received into [argument[0], + argument[1] pages) of the window. */
static enum status set_posted(struct vm *vm, const uint64_t *argument, bool posted)
{
    gpa_t first = gpa(argument[0]);
    uint64_t pages = argument[1];
    if (!is_page_aligned(first))
        return STATUS_MISALIGNED;
    if (!in_window(first) || pages == 0
        || pages > (GUEST_WINDOW + GUEST_WINDOW_SIZE - first.value) / PAGE_SIZE)
        return STATUS_OUT_OF_RANGE;
    for (uint64_t i = 0; i < pages; i++) {
        uint64_t bit, *word = posted_word(vm, gpa(first.value + i * PAGE_SIZE), &bit);
        *word = posted ? *word | bit : *word & ~bit;
    }
    return STATUS_OK;
}

enum status transfer(struct vm *source, uint64_t operation, const uint64_t *argument, hpa_t *frame)
{
    struct handover h = {.source = source};
    enum status status;
    switch (operation) {
    case OP_POST:
    case OP_WITHDRAW:
        return set_posted(source, argument, operation == OP_POST);
    case OP_RECLAIM:
    case OP_RELINQUISH:
        return end_share(&h, argument, operation == OP_RECLAIM, frame);
    case OP_REMAP:
        status = check(&h, argument);
        return status == STATUS_OK ? remap(&h, frame) : status;
    case OP_SHARE:
        status = check(&h, argument);
        return status == STATUS_OK ? share(&h, frame) : status;
    case OP_COPY:
        status = check(&h, argument);
        return status == STATUS_OK ? copy(&h, frame) : status;
    default:
        return STATUS_UNKNOWN_OPERATION;
    }
}
