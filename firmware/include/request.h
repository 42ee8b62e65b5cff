/* Ways in: a request slot for each door. Whoever uses the door fills in the slot
 * and sets its state to SLOT_SUBMITTED last; the control CPU answers within a tick.
 * A guest reaches the same operations by hypercall. */
#pragma once

#include "address.h"

enum door { DOOR_CONSOLE, DOOR_GDB, DOOR_MEMORY, DOORS };

enum slot_state {
    SLOT_FREE,      /* the requester's to fill */
    SLOT_SUBMITTED, /* the hypervisor's to answer */
    SLOT_WORKING,   /* a guest is at it (OP_ASK) */
    SLOT_DONE,      /* status, frame and text are valid, and the slot is the requester's again */
};

#define REQUEST_ARGUMENTS 6

struct request {
    uint64_t sequence;                    /* the requester's; comes back with the answer */
    uint64_t operation;                   /* enum operation */
    uint64_t vm;                          /* in whose name */
    uint64_t vcpu;                        /* of it: the one that OP_ASK hands work to */
    uint64_t argument[REQUEST_ARGUMENTS]; /* as in the hypercall, after the operation */
    enum status status;
    hpa_t frame;      /* that the operation was about; 0 if none */
    const char *text; /* what the status means here */
};

struct slot {
    volatile enum slot_state state;
    struct request request;
};

extern struct slot slots[DOORS];

/* The control CPU's: answer every submitted slot, and for every guest that came back. */
void requests_poll(void);

/* Every answered request passes here, whatever its door, on the control CPU: put a
 * breakpoint on it. */
__attribute__((noinline)) void request_done(enum door door, const struct request *request);

/* The status as the console writes it ("not-posted"), and what it means. */
const char *status_name(enum status status);
const char *status_text(enum status status);
