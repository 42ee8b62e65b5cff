/* What the plugin and the harness share, one file in memory:
 *
 *   0                    struct header
 *   RECORD_WATCH         a byte of enum watch bits for each 8 bytes of RAM
 *   ... RAM size / 8     struct record, as many as there is room for
 *
 * The harness has its own description of this (pageferry/wire/record.py); a test compares
 * it with the debug information of the plugin. */
#pragma once

#include <stdint.h>

#define RECORD_WATCH     4096
#define RECORD_CPU_LIMIT 8

enum watch {
    WATCH_STORES = 1,   /* every store by the hypervisor, with what is there afterwards */
    WATCH_ACCESSES = 2, /* that a guest touches it; once between two records of other kinds */
};

enum record_kind {
    RECORD_STORE = 1,   /* address: of the 8 bytes; value: theirs */
    RECORD_DEVICE,      /* address: of a device's register */
    RECORD_INSTRUCTION, /* detail: which of those asked for */
    RECORD_RUN,         /* a guest's first block after the hypervisor's */
    RECORD_LEAVE,       /* the hypervisor's first block after a guest's */
    RECORD_ACCESS,      /* address: of the access; detail: enum record_access */
};

enum record_access { RECORD_READ = 1, RECORD_WRITE = 2, RECORD_EXECUTE = 4 };

/* All addresses are host-physical. What a record is about happened after record number
 * `since` was written and, if it is of an access, before the record itself; what an
 * instruction does is later than its record. */
struct record {
    uint64_t address, value;
    uint64_t code; /* of the instruction; NOT_RAM: platform firmware in ROM */
    uint32_t since;
    uint8_t kind, cpu, detail, reserved;
};

struct header {
    uint32_t recording; /* set by the harness while the machine stands */
    uint32_t lost;      /* accesses whose address could not be told */
    uint64_t count;     /* records; more than there is room for: the rest is lost */
    uint64_t changes;   /* records of other kinds than RECORD_ACCESS, ever */
    uint64_t happenings; /* ... and not of RECORD_INSTRUCTION, ever */
    uint64_t guest_code[RECORD_CPU_LIMIT]; /* a block of the guest that runs there, 0: none */
};

#define NOT_RAM (~0ull)

_Static_assert(sizeof(struct record) == 32, "nothing between the members");
