/* The hypervisor's state and what its parts offer each other. */
#pragma once

#include "address.h"
#include "arch.h"
#include "cpu.h"
#include "pte.h"
#include "request.h"

#define VM_COUNT     2
#define CPU_LIMIT    (1 + VM_COUNT * VCPUS_PER_VM)
#define SPIN_LIMIT   (1ull << 32) /* turns of a loop that waits for another CPU */
#define POOL_FRAMES  256 /* free frames at boot, for tables and copies */
#define WINDOW_PAGES (GUEST_WINDOW_SIZE / PAGE_SIZE)

/* frame.c: what each frame of RAM is. Frame n lies at RAM_BASE + n * PAGE_SIZE. */

enum frame_kind {
    FRAME_HYPERVISOR, /* and everything that is never handed out */
    FRAME_FREE,
    FRAME_TABLE, /* of the owner's stage 2 */
    FRAME_GUEST,
};

struct frame {
    uint8_t kind;
    uint8_t owner;    /* a VM, 0: the hypervisor */
    uint8_t borrower; /* a VM that reads it too, 0: nobody */
    uint8_t rights;   /* the owner's, to be given back when the share ends */
    gpa_t owner_gpa;
    gpa_t borrower_gpa;
};

extern struct frame frames[RAM_SIZE / PAGE_SIZE];

void frames_init(hpa_t pool);
/* The record of the frame an address lies in; NULL: it is not RAM. */
static inline struct frame *frame_at(hpa_t address)
{
    uint64_t offset = address.value - RAM_BASE;
    return offset < RAM_SIZE ? &frames[offset / PAGE_SIZE] : NULL;
}

bool frame_take(enum frame_kind kind, unsigned owner, hpa_t *address); /* zeroed; false: none is free */
/* The root of a stage 2: STAGE2_ROOT_FRAMES in a row, aligned to their whole size, as the
 * pool's beginning is. */
bool frames_take_root(unsigned owner, hpa_t *address);
void frame_release(hpa_t address);

/* vm.c: virtual machines and their turns on a CPU. */

enum vcpu_state { VCPU_RUNNING, VCPU_WAITING, VCPU_STOPPED };

enum work_state {
    WORK_NONE,
    WORK_GIVEN, /* the guest is at it */
    WORK_ENDED, /* the control CPU has to tell whoever asked */
};

struct vcpu {
    struct vm *vm;
    unsigned index; /* of those of its VM */
    unsigned cpu; /* the only one that runs it */
    enum vcpu_state state;
    const char *stop_reason;
    bool stop_told; /* on the console */
    enum work_state work_state;
    enum door work_door; /* who asked for it */
    struct request work;
    uint64_t recovery; /* GVA, 0: none */
    bool recovering;   /* resumed there, and no hypercall since */
    bool retried;      /* a fault that was none, and nothing else since */
    uint64_t exits;    /* of its guest, so far */
    uint64_t exit_reason; /* of the last of them */
    struct arch_vcpu arch;
};

struct vm {
    unsigned id;
    hpa_t stage2_root;
    volatile uint64_t generation; /* of its translations: each invalidation begins a new one */
    uint64_t posted[WINDOW_PAGES / 64];
    unsigned vcpu_count;
    struct vcpu vcpus[VCPUS_PER_VM];
};

extern struct vm vms[VM_COUNT + 1]; /* by id; 0 is the hypervisor and unused */

struct cpu;

void vms_init(void);
bool vms_run(struct cpu *cpu);     /* one turn for everyone who can run there; false: nobody has work */
bool vms_all(enum vcpu_state state);
unsigned vcpus_on(unsigned cpu);
void vcpu_stop(struct vcpu *vcpu, const char *reason);

/* NULL: there is none of that id. */
static inline struct vm *vm_by_id(uint64_t id)
{
    return id >= 1 && id <= VM_COUNT ? &vms[id] : NULL;
}

/* NULL: the VM has none of that index. */
static inline struct vcpu *vcpu_by_index(struct vm *vm, uint64_t index)
{
    return index < vm->vcpu_count ? &vm->vcpus[index] : NULL;
}

/* The state is changed under the lock and looked at without it. */
static inline enum vcpu_state vcpu_state(const struct vcpu *vcpu)
{
    return __atomic_load_n(&vcpu->state, __ATOMIC_ACQUIRE);
}

static inline void vcpu_set_state(struct vcpu *vcpu, enum vcpu_state state)
{
    __atomic_store_n(&vcpu->state, state, __ATOMIC_RELEASE);
}

/* hypercall.c */
void hypercall(struct vcpu *vcpu);
enum status vcpu_ask(struct vcpu *vcpu, enum door door, const struct request *request);
void work_end(struct vcpu *vcpu, enum status status, const char *text);

/* stage2.c: the tables of a VM. Find the place of a page, reserve what a mapping there
 * needs, then map: that cannot fail. A place is good while the lock is held. */

struct place {
    struct vm *vm;
    gpa_t page;
    pte_t *entry;   /* the page's own, or the absent one where the tables end */
    unsigned level; /* of that entry */
    hpa_t table[STAGE2_LEVELS - 1]; /* frames for the tables below it */
    unsigned reserved;
};

void stage2_find(struct place *place, struct vm *vm, gpa_t page);

/* Take what a mapping there needs; false: nothing is taken. */
bool stage2_reserve_tables(struct place *place);
static inline bool stage2_reserve(struct place *place)
{
    return place->level == 0 || stage2_reserve_tables(place);
}

static inline bool stage2_is_mapped(const struct place *place)
{
    return place->level == 0 && pte_is_present(*place->entry);
}

void stage2_give_back(struct place *place);
void stage2_map(struct place *place, hpa_t frame, unsigned rights);
void stage2_unmap(struct place *place);                    /* and invalidate */
void stage2_protect(struct place *place, unsigned rights); /* break before make */

/* transfer.c: pages change hands. */
enum status transfer(struct vm *source, uint64_t operation, const uint64_t *argument, hpa_t *frame);

/* console.c: hand in what was asked for on the console, and answer it there. */
void console_poll(void);
void console_done(const struct request *request);

/* print.c: a log line or a part of one; a whole answer, with a checksum if that is how
 * it was asked for. */
uint32_t checksum(const char *text);
void console_answer(bool checked, const char *format, ...) __attribute__((format(printf, 2, 3)));
void console_print(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void panic_at(const char *file, unsigned line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
#define panic(...) panic_at(__FILE__, __LINE__, __VA_ARGS__)

/* main.c: state of each CPU of the machine, by logical number. */

#define CONTROL_CPU 0u

struct cpu {
    unsigned number;
    volatile bool online; /* it has entered cpu_main() */
    struct vcpu *loaded;  /* whose context is in it */
    uint64_t exit_reason; /* of the last exit, for the panic line */
};

extern struct cpu cpus[CPU_LIMIT];
extern unsigned cpu_count;

_Noreturn void hypervisor_main(void);        /* the control CPU's */
_Noreturn void cpu_main(struct cpu *cpu);    /* every other one's */

/* string.c */
void *memcpy(void *restrict target, const void *restrict source, size_t bytes);
void *memset(void *target, int byte, size_t bytes);
bool text_equals(const char *left, const char *right);
