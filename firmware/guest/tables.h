/* The guest's stage 1 below its root, where an entry is an address and bits added to it.
 * GVA = GPA in 2 MiB leaves, and the same again GUEST_ALIAS higher in pages, a GiB a table:
 *
 *   low      window
 *   middle   RAM;           GUEST_ALIAS + window -> window_pages
 *   high                    GUEST_ALIAS + RAM    -> ram_pages
 *
 * guest.S says what the bits are: LEAF of 2 MiB, PAGE of 4 KiB, TABLE of what leads to one. */
#define BIG           0x200000
#define SLOT(address) (((address) >> 21) & 511)
#define RAM_SLOT      SLOT(GUEST_RAM)
#define RAM_SLOTS     (GUEST_RAM_SIZE / BIG)
#define WINDOW_SLOT   SLOT(GUEST_WINDOW)
#define WINDOW_SLOTS  (GUEST_WINDOW_SIZE / BIG)

/* `count` entries from `first` on, `step` apart. */
    .macro entries first, step, count
    .set number, 0
    .rept \count
    .quad \first + number * \step
    .set number, number + 1
    .endr
    .endm

    .section .data.tables, "aw"
    .balign 4096
low:
    .fill WINDOW_SLOT, 8, 0
    entries GUEST_WINDOW + LEAF, BIG, WINDOW_SLOTS
    .fill 512 - WINDOW_SLOT - WINDOW_SLOTS, 8, 0
middle:
    .fill RAM_SLOT, 8, 0
    entries GUEST_RAM + LEAF, BIG, RAM_SLOTS
    .fill WINDOW_SLOT - RAM_SLOT - RAM_SLOTS, 8, 0
    entries window_pages + TABLE, 4096, WINDOW_SLOTS
    .fill 512 - WINDOW_SLOT - WINDOW_SLOTS, 8, 0
high:
    .fill RAM_SLOT, 8, 0
    entries ram_pages + TABLE, 4096, RAM_SLOTS
    .fill 512 - RAM_SLOT - RAM_SLOTS, 8, 0
ram_pages:
    entries GUEST_RAM + PAGE, 4096, (512 * RAM_SLOTS)
window_pages:
    entries GUEST_WINDOW + PAGE, 4096, (512 * WINDOW_SLOTS)
