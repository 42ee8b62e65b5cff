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
    struct place source, target;
    struct frame *record; /* of the source's frame */
    hpa_t frame;          /* that the target gets */
};

static bool in_window(gpa_t page)
{
    return page.value - GUEST_WINDOW < GUEST_WINDOW_SIZE;
}

static bool in_guest(gpa_t page)
{
    return page.value - GUEST_RAM < GUEST_RAM_SIZE || in_window(page);
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

/* The page's place and record, if it is a guest's frame that is mapped there. */
static enum status find_page(struct handover *h, struct vm *vm, gpa_t page)
{
    stage2_find(&h->source, vm, page);
    if (!stage2_is_mapped(&h->source))
        return STATUS_NOT_MAPPED;
    h->frame = pte_frame(*h->source.entry);
    h->record = frame_at(h->frame);
    return h->record && h->record->kind == FRAME_GUEST ? STATUS_OK : STATUS_PROTECTED;
}

/* The arguments of remap, share and copy, checked in the order of the statuses. */
static enum status check(struct handover *h, struct vm *source, const uint64_t *argument)
{
    struct vm *target = vm_by_id(argument[1]);
    gpa_t page = gpa(argument[0]), to = gpa(argument[2]);
    if (!target)
        return STATUS_UNKNOWN_VM;
    if (source == target)
        return STATUS_SAME_VM;
    if (!is_page_aligned(page) || !is_page_aligned(to))
        return STATUS_MISALIGNED;
    if (!in_guest(page) || !in_window(to))
        return STATUS_OUT_OF_RANGE;
    enum status status = find_page(h, source, page);
    if (status != STATUS_OK)
        return status;
    if (h->record->owner != source->id)
        return STATUS_NOT_OWNER;
    if (h->record->borrower)
        return STATUS_SHARED;
    if (!is_posted(target, to))
        return STATUS_NOT_POSTED;
    stage2_find(&h->target, target, to);
    if (stage2_is_mapped(&h->target))
        return STATUS_OCCUPIED;
    return stage2_reserve(&h->target) ? STATUS_OK : STATUS_NO_MEMORY;
}

static void set_owner(struct frame *record, const struct place *place)
{
    record->owner = (uint8_t)place->vm->id;
    record->owner_gpa = place->page;
    record->rights = ACCESS_READ | ACCESS_WRITE;
}

static void remap(struct handover *h)
{
    stage2_unmap(&h->source);
    set_owner(h->record, &h->target);
    stage2_map(&h->target, h->frame, ACCESS_READ | ACCESS_WRITE);
}

static void share(struct handover *h)
{
    stage2_protect(&h->source, ACCESS_READ);
    h->record->borrower = (uint8_t)h->target.vm->id;
    h->record->borrower_gpa = h->target.page;
    stage2_map(&h->target, h->frame, ACCESS_READ);
}

static enum status copy(struct handover *h)
{
    hpa_t original = h->frame;
    if (!frame_take(FRAME_GUEST, h->target.vm->id, &h->frame)) {
        stage2_give_back(&h->target);
        return STATUS_NO_MEMORY;
    }
    set_owner(frame_at(h->frame), &h->target);
    memcpy(pointer_to(h->frame), pointer_to(original), PAGE_SIZE);
    stage2_map(&h->target, h->frame, ACCESS_READ | ACCESS_WRITE);
    return STATUS_OK;
}

/* Both ways to end a share: the owner reclaims, the borrower relinquishes. */
static enum status end_share(struct handover *h, struct vm *caller, gpa_t page, bool by_owner)
{
    if (!is_page_aligned(page))
        return STATUS_MISALIGNED;
    if (!in_guest(page))
        return STATUS_OUT_OF_RANGE;
    enum status status = find_page(h, caller, page);
    if (status != STATUS_OK)
        return status;
    struct frame *record = h->record;
    if (by_owner && record->owner != caller->id)
        return STATUS_NOT_OWNER;
    if (by_owner ? !record->borrower : record->borrower != caller->id)
        return STATUS_NOT_SHARED;
    struct place owner, borrower;
    stage2_find(&owner, &vms[record->owner], record->owner_gpa);
    stage2_find(&borrower, &vms[record->borrower], record->borrower_gpa);
    stage2_unmap(&borrower);
    stage2_protect(&owner, record->rights);
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
    struct handover h;
    enum status status;
    switch (operation) {
    case OP_POST:
    case OP_WITHDRAW:
        return set_posted(source, argument, operation == OP_POST);
    case OP_RECLAIM:
    case OP_RELINQUISH:
        status = end_share(&h, source, gpa(argument[0]), operation == OP_RECLAIM);
        break;
    case OP_REMAP:
        status = check(&h, source, argument);
        if (status == STATUS_OK)
            remap(&h);
        break;
    case OP_SHARE:
        status = check(&h, source, argument);
        if (status == STATUS_OK)
            share(&h);
        break;
    case OP_COPY:
        status = check(&h, source, argument);
        if (status == STATUS_OK)
            status = copy(&h);
        break;
    default:
        return STATUS_UNKNOWN_OPERATION;
    }
    *frame = status == STATUS_OK ? h.frame : hpa(0);
    return status;
}
