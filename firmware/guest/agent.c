/* The program that runs in every VM. It does what it is asked, one thing at a time,
 * and says in its report page what it saw; each vCPU for itself. */
#include "hypercall.h"

#define FNV_OFFSET     0xcbf29ce484222325ull
#define FNV_PRIME      0x00000100000001b3ull
#define WORDS_PER_PAGE (PAGE_SIZE / sizeof(uint64_t))

/* guest.S */
uint64_t call_hypervisor(uint64_t registers[CALL_REGISTERS]);
uint64_t read_counter(void);
void recovery(void);
void remember(uint64_t value);
uint64_t recall(void);
uint64_t residue(void);
void rest(void);
_Noreturn void load_as_user(uint64_t gva);
extern void (*const forbidden_acts[])(void);
extern void (*const forbidden_acts_end[])(void);

/* Entered from there, each on a fresh stack. */
_Noreturn void agent_main(void);
_Noreturn void agent_fault(uint64_t address, uint64_t access);
_Noreturn void agent_exception(uint64_t address, uint64_t vector);

/* By vCPU. guest.S puts each on its stack. */
char stacks[VCPUS_PER_VM][GUEST_STACK_SIZE] __attribute__((aligned(GUEST_STACK_SIZE)));
volatile struct report reports[VCPUS_PER_VM] __attribute__((aligned(PAGE_SIZE), section(".report")));
static uint64_t work[VCPUS_PER_VM][CALL_REGISTERS];

/* Which vCPU executes this. */
static unsigned own_index(void)
{
    return (unsigned)(((uintptr_t)__builtin_frame_address(0) - (uintptr_t)stacks) / GUEST_STACK_SIZE);
}

static volatile struct report *own_report(void)
{
    return &reports[own_index()];
}

static uint64_t *own_work(void)
{
    return work[own_index()];
}

static uint64_t ask(uint64_t operation, uint64_t first, uint64_t second)
{
    uint64_t registers[CALL_REGISTERS] = {operation, first, second};
    call_hypervisor(registers);
    return registers[CALL_STATUS];
}

static uint64_t checksum(const volatile uint64_t *page)
{
    uint64_t sum = FNV_OFFSET;
    for (unsigned i = 0; i < WORDS_PER_PAGE; i++)
        sum = (sum ^ page[i]) * FNV_PRIME;
    return sum;
}

static void fill(volatile uint64_t *page, uint64_t seed)
{
    for (unsigned i = 0; i < WORDS_PER_PAGE; i++)
        page[i] = seed + i;
}

/* A raw hypercall with any arguments, and what it cost. */
static uint64_t raw_hypercall(const uint64_t *argument)
{
    uint64_t registers[CALL_REGISTERS] = {0};
    for (unsigned i = 0; WORK_ARGUMENT + i < CALL_REGISTERS; i++)
        registers[i] = argument[i];
    own_report()->instructions = call_hypervisor(registers);
    return registers[CALL_STATUS];
}

/* What a guest pays that copies a page itself. */
static void copy(const volatile uint64_t *from, volatile uint64_t *to)
{
    uint64_t before = read_counter();
    for (unsigned i = 0; i < WORDS_PER_PAGE; i++)
        to[i] = from[i];
    own_report()->instructions = read_counter() - before;
}

/* No exit happens in here: what a stale translation shows, this loop sees. */
static void watch(const volatile uint64_t *word, uint64_t nonce)
{
    volatile struct report *report = own_report();
    for (; report->stop != nonce; report->rounds++)
        report->value = *word;
}

static void scribble(volatile uint64_t *word, uint64_t nonce)
{
    volatile struct report *report = own_report();
    for (; report->stop != nonce; report->rounds++)
        *word = report->rounds;
}

static uint64_t run(const uint64_t *given, uint64_t *outcome)
{
    uint64_t first = given[WORK_ARGUMENT], second = given[WORK_ARGUMENT + 1];
    volatile uint64_t *page = (volatile uint64_t *)first;
    switch (given[WORK_COMMAND]) {
    case COMMAND_PING:
        return ~given[WORK_NONCE];
    case COMMAND_LOAD:
        return *page;
    case COMMAND_STORE:
        *page = second;
        return second;
    case COMMAND_FILL:
        fill(page, second);
        return second;
    case COMMAND_CHECKSUM:
        return checksum(page);
    case COMMAND_JUMP:
        return ((uint64_t(*)(void))first)();
    case COMMAND_HYPERCALL:
        return raw_hypercall(&given[WORK_ARGUMENT]);
    case COMMAND_WATCH:
        watch(page, given[WORK_NONCE]);
        return own_report()->value;
    case COMMAND_SCRIBBLE:
        scribble(page, given[WORK_NONCE]);
        return own_report()->rounds;
    case COMMAND_COPY:
        copy(page, (volatile uint64_t *)second);
        return 0;
    case COMMAND_REMEMBER:
        remember(first);
        return first;
    case COMMAND_RECALL:
        return recall();
    case COMMAND_RESIDUE:
        return residue();
    case COMMAND_REST:
        rest();
        return 0;
    case COMMAND_LOAD_AS_USER:
        load_as_user(first);
    case COMMAND_MISBEHAVE:
        if (first < (uint64_t)(forbidden_acts_end - forbidden_acts)) {
            forbidden_acts[first]();
            return 0;
        }
        break;
    }
    *outcome = OUTCOME_UNKNOWN_COMMAND;
    return 0;
}

/* The nonce comes last: with it the rest of the report is valid. */
static void finish(uint64_t outcome, uint64_t value, uint64_t address, uint64_t detail)
{
    volatile struct report *report = own_report();
    report->command = own_work()[WORK_COMMAND];
    report->outcome = outcome;
    report->value = value;
    report->address = address;
    report->detail = detail;
    __atomic_store_n(&report->nonce, own_work()[WORK_NONCE], __ATOMIC_RELEASE);
}

static _Noreturn void serve(void)
{
    volatile struct report *report = own_report();
    uint64_t *given = own_work();
    for (;;) {
        given[CALL_OPERATION] = OP_WAIT;
        call_hypervisor(given);
        report->instructions = 0;
        report->value = 0;
        report->rounds = 0;
        __atomic_store_n(&report->begun, given[WORK_NONCE], __ATOMIC_RELEASE);
        uint64_t outcome = OUTCOME_DONE;
        uint64_t value = run(given, &outcome);
        finish(outcome, value, 0, 0);
    }
}

void agent_main(void)
{
    ask(OP_RECOVER, (uint64_t)recovery, 0);
    if (own_index() == 0) /* the window is the VM's */
        ask(OP_POST, GUEST_WINDOW, GUEST_WINDOW_SIZE / PAGE_SIZE);
    serve();
}

void agent_fault(uint64_t address, uint64_t access)
{
    finish(OUTCOME_FAULT, own_report()->value, address, access);
    serve();
}

void agent_exception(uint64_t address, uint64_t vector)
{
    finish(OUTCOME_EXCEPTION, own_report()->value, address, vector);
    serve();
}
