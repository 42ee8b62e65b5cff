/* The tables of a VM's stage 2. Levels count from the leaf (0) up to the root.
 * Every leaf maps one page; a table, once made, stays the VM's. */
#include "hypervisor.h"

static pte_t *entry_in(hpa_t table, gpa_t page, unsigned level)
{
    return (pte_t *)pointer_to(table) + pte_index(page, level);
}

/* Down to level 0, or to the first absent entry: `level` says which. */
static pte_t *descend(const struct vm *vm, gpa_t page, unsigned *level)
{
    hpa_t table = vm->stage2_root;
    for (*level = STAGE2_LEVELS - 1;; --*level) {
        pte_t *entry = entry_in(table, page, *level);
        if (*level == 0 || !pte_is_present(*entry))
            return entry;
        table = pte_frame(*entry);
    }
}

pte_t *stage2_find(const struct vm *vm, gpa_t page)
{
    unsigned level;
    pte_t *entry = descend(vm, page, &level);
    return level == 0 && pte_is_present(*entry) ? entry : NULL;
}

bool stage2_reserve(struct vm *vm, gpa_t page, struct reserve *reserve)
{
    unsigned missing;
    descend(vm, page, &missing);
    for (reserve->count = 0; reserve->count < missing; reserve->count++) {
        if (frame_take(FRAME_TABLE, vm->id, &reserve->table[reserve->count]))
            continue;
        while (reserve->count > 0)
            frame_release(reserve->table[--reserve->count]);
        return false;
    }
    return true;
}

void stage2_map(struct vm *vm, gpa_t page, hpa_t frame, unsigned rights, struct reserve *reserve)
{
    unsigned level;
    pte_t *entry = descend(vm, page, &level);
    for (; level > 0; level--) {
        hpa_t table = reserve->table[--reserve->count];
        *entry = pte_table(table);
        entry = entry_in(table, page, level - 1);
    }
    *entry = pte_leaf(frame, rights);
}

void stage2_unmap(struct vm *vm, gpa_t page)
{
    *stage2_find(vm, page) = PTE_ABSENT;
    arch_invalidate(vm, page);
}

void stage2_protect(struct vm *vm, gpa_t page, unsigned rights)
{
    pte_t *entry = stage2_find(vm, page);
    hpa_t frame = pte_frame(*entry);
    stage2_unmap(vm, page);
    *entry = pte_leaf(frame, rights);
}
