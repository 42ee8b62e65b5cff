/* The tables of a VM's stage 2. Levels count from the leaf (0) up to the root.
 * Every leaf maps one page; a table, once made, stays the VM's. */
#include "hypervisor.h"

static pte_t *entry_in(hpa_t table, gpa_t page, unsigned level)
{
    return (pte_t *)pointer_to(table) + pte_index(page, level);
}

/* The table walkers of other CPUs read along: one store, after all before it. */
static void write_entry(pte_t *entry, pte_t value)
{
    __atomic_store_n(entry, value, __ATOMIC_RELEASE);
}

void stage2_find(struct place *place, struct vm *vm, gpa_t page)
{
    hpa_t table = vm->stage2_root;
    place->vm = vm;
    place->page = page;
    place->reserved = 0;
    for (place->level = STAGE2_LEVELS - 1;; place->level--) {
        place->entry = entry_in(table, page, place->level);
        if (place->level == 0 || !pte_is_present(*place->entry))
            return;
        table = pte_frame(*place->entry);
    }
}

bool stage2_reserve_tables(struct place *place)
{
    while (place->reserved < place->level) {
        if (!frame_take(FRAME_TABLE, place->vm->id, &place->table[place->reserved])) {
            stage2_give_back(place);
            return false;
        }
        place->reserved++;
    }
    return true;
}

void stage2_give_back(struct place *place)
{
    while (place->reserved > 0)
        frame_release(place->table[--place->reserved]);
}

void stage2_map(struct place *place, hpa_t frame, unsigned rights)
{
    for (; place->level > 0; place->level--) {
        hpa_t table = place->table[--place->reserved];
        write_entry(place->entry, pte_table(table));
        place->entry = entry_in(table, place->page, place->level - 1);
    }
    write_entry(place->entry, pte_leaf(frame, rights));
    pte_publish();
}

void stage2_unmap(struct place *place)
{
    write_entry(place->entry, PTE_ABSENT);
    arch_invalidate(place->vm, place->page);
}

void stage2_protect(struct place *place, unsigned rights)
{
    hpa_t frame = pte_frame(*place->entry);
    stage2_unmap(place);
    write_entry(place->entry, pte_leaf(frame, rights));
    pte_publish();
}
