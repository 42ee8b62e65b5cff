/* What a guest and the hypervisor say to each other. The guest includes this
 * header and nothing else of ours; the harness reads the same names from the
 * debug information of the two images, so every number stands here alone. */
#pragma once

/* The guest-physical map, the same in every VM. No address of it is also an
 * address of hypervisor or platform firmware code on any architecture, because
 * a debugger's breakpoints match a program counter in every address space.
 *
 *   GUEST_WINDOW  8 MiB   where pages are received, empty at boot; in another GiB than
 *                         RAM, so that its first page needs tables of two levels
 *   GUEST_RAM     2 MiB   agent image, stacks, its stage-1 tables, report page
 *   GUEST_PAGES           the upper half of RAM: pages a test may give away
 *
 * The agent's own stage 1 maps all of it twice: at GVA = GPA with 2 MiB leaves
 * and at GVA = GPA + GUEST_ALIAS with 4 KiB leaves. */
#define PAGE_SIZE         4096
#define GUEST_RAM         0x60000000
#define GUEST_RAM_SIZE    0x00200000
#define GUEST_PAGES       0x60100000
#define GUEST_WINDOW      0x30000000
#define GUEST_WINDOW_SIZE 0x00800000
#define GUEST_ALIAS       0x40000000

/* At most. A vCPU starts with its index, from 0 on, as the first C argument. In the agent it
 * has a stack of its own, and knows by its stack pointer which one it is. */
#define VCPUS_PER_VM      2
#define GUEST_STACK_SIZE  8192

#ifndef __ASSEMBLER__
#include <stdint.h>

/* The same numbers for readers of debug information, who do not see macros. */
enum guest_map {
    MAP_RAM = GUEST_RAM,
    MAP_RAM_SIZE = GUEST_RAM_SIZE,
    MAP_PAGES = GUEST_PAGES,
    MAP_WINDOW = GUEST_WINDOW,
    MAP_WINDOW_SIZE = GUEST_WINDOW_SIZE,
    MAP_ALIAS = GUEST_ALIAS,
};

/* Operations, by hypercall and by request. "Source" is the caller when a guest
 * asks by hypercall; a request names it. Every argument is a 64-bit register.
 *
 *   WAIT                              the vCPU waits; returns with work (below)
 *   RECOVER     address               where the guest resumes after a stage-2 fault
 *   POST        gpa, pages            pages may be received there from now on, one at a
 *                                     time, until they are withdrawn
 *   WITHDRAW    gpa, pages            they may not any more
 *   REMAP       gpa, target, its gpa  the page is the target's from now on
 *   SHARE       gpa, target, its gpa  both read it, nobody writes it
 *   RECLAIM     gpa                   the owner ends the share
 *   RELINQUISH  gpa                   the borrower ends the share
 *   COPY        gpa, target, its gpa  the target gets a page with equal bytes
 *   ASK         (request only) hands work to a vCPU that waits */
enum operation {
    OP_WAIT = 1,
    OP_RECOVER,
    OP_POST,
    OP_WITHDRAW,
    OP_REMAP,
    OP_SHARE,
    OP_RECLAIM,
    OP_RELINQUISH,
    OP_COPY,
    OP_ASK,
};

/* The answer to every operation. All but STATUS_OK leave everything as it was. */
enum status {
    STATUS_OK,
    STATUS_UNKNOWN_OPERATION,
    STATUS_BAD_REQUEST,    /* malformed: wrong number or form of arguments */
    STATUS_BUSY,           /* the guest still works at what it was asked before */
    STATUS_UNKNOWN_VM,
    STATUS_UNKNOWN_VCPU,   /* the VM has fewer */
    STATUS_SAME_VM,        /* source and target are one VM */
    STATUS_MISALIGNED,     /* not a multiple of PAGE_SIZE */
    STATUS_OUT_OF_RANGE,   /* outside RAM and window (a target: outside the window) */
    STATUS_NOT_MAPPED,     /* the source has no page there */
    STATUS_NOT_OWNER,      /* the source has it on loan */
    STATUS_SHARED,         /* the source owns it, but not alone */
    STATUS_NOT_SHARED,     /* nothing to end */
    STATUS_PROTECTED,      /* a frame of the hypervisor or of a table */
    STATUS_NOT_POSTED,     /* the target does not expect a page there */
    STATUS_OCCUPIED,       /* the target has a page there already */
    STATUS_NO_MEMORY,      /* no frame for a table or for the copy */
    STATUS_STOPPED,        /* the vCPU does not run any more */
};

/* Registers of a hypercall, by position: [0] the operation, then the arguments;
 * on return [0] is the status. OP_WAIT returns work in the others. */
enum hypercall_register {
    CALL_OPERATION = 0,
    CALL_ARGUMENT = 1,
    CALL_STATUS = 0,
    WORK_NONCE = 1,
    WORK_COMMAND = 2,
    WORK_ARGUMENT = 3,
    CALL_REGISTERS = 7,
};

/* What the harness may ask of the agent. Arguments follow the command. */
enum command {
    COMMAND_PING,       /*                           value: ~nonce */
    COMMAND_LOAD,       /* gva                       value: the 8 bytes there */
    COMMAND_STORE,      /* gva, value */
    COMMAND_FILL,       /* gva, seed                 512 words: seed, seed + 1, ... */
    COMMAND_CHECKSUM,   /* gva                       value: FNV-1a, a 64-bit word a step */
    COMMAND_JUMP,       /* gva                       calls it; value: what it returns */
    COMMAND_HYPERCALL,  /* operation, a1, a2, a3     value: status */
    COMMAND_WATCH,      /* gva                       loads in a loop with no exit until stopped */
    COMMAND_SCRIBBLE,   /* gva                       the same, storing the number of the round */
    COMMAND_COPY,       /* from, to                  the guest's own copy of a page, counted */
    COMMAND_REMEMBER,   /* value                     puts it into a floating-point register */
    COMMAND_RECALL,     /*                           value: what is in that register */
    COMMAND_RESIDUE,    /*                           value: addresses left in the floating-point unit */
    COMMAND_REST,       /*                           gives the CPU away until an interrupt */
    COMMAND_MISBEHAVE,  /* number                    does a thing that no guest may do, see guest.S */
    COMMAND_LOAD_AS_USER, /* gva                     its user loads from a page that is absent, by its first
                           *                         address; from one that is there nobody comes back */
};

/* How the agent fared. */
enum outcome {
    OUTCOME_NONE,
    OUTCOME_DONE,
    OUTCOME_FAULT,      /* stage 2: the hypervisor resumed it at its recovery address */
    OUTCOME_EXCEPTION,  /* its own CPU exception: stage 1, undefined instruction, ... */
    OUTCOME_UNKNOWN_COMMAND,
};

/* How a page was touched when it faulted; the first two are also the bits of
 * what a stage-2 leaf allows. */
enum access { ACCESS_READ = 1, ACCESS_WRITE = 2, ACCESS_EXECUTE = 4 };

/* Of each vCPU, in the agent's report page. The harness finds it by walking both
 * stages and reads it in memory itself: nobody relays what a guest has to say.
 * `nonce` is the one of the work it answers and is written last. */
struct report {
    uint64_t begun;        /* the nonce of the work that it is at */
    uint64_t nonce;
    uint64_t command;
    uint64_t outcome;      /* enum outcome */
    uint64_t value;
    uint64_t address;      /* GPA of a fault, GVA of an exception */
    uint64_t detail;       /* enum access of a fault, vector of an exception */
    uint64_t instructions; /* the CPU's counter around a hypercall or a copy */
    uint64_t rounds;       /* of a watch or scribble, so far */
    uint64_t stop;         /* written by the harness: the nonce of the one to end */
};
#endif
