/* A vCPU is its registers. A run switches the general ones, arch_vcpu_load the others;
 * what neither does is trapped (cpu.c), so no guest can leave anything behind in it. */
#include "hypervisor.h"

#define VMID_SHIFT 48

/* SPSR_EL2 (Arm ARM DDI 0487, C5.2.19): EL1 with its own stack, exceptions masked */
#define PSTATE_EL1H_MASKED 0x3c5ull
/* SCTLR_EL1 (D19.2.130): MMU and caches off, the bits that are one */
#define SCTLR_MMU_OFF 0x30d00800ull

/* ESR_EL2 (D19.2.39)
 *
 *   31..26  24 ...
 *   EC      what it means depends on EC
 *
 * of an abort (EC 20h, 24h):  bit 10 FnV   bit 7 S1PTW   bit 6 WnR   5..0 status */
#define ESR_CLASS(esr)   ((esr) >> 26 & 63)
#define CLASS_WAIT       0x01u
#define CLASS_HVC        0x16u
#define CLASS_SMC        0x17u
#define CLASS_SYSTEM     0x18u
#define CLASS_FETCH      0x20u
#define CLASS_DATA       0x24u
#define CLASS_SERROR     0x2fu
#define ABORT_WALK       (1ull << 7) /* stage 2 refused the walk of stage 1 */
#define ABORT_WRITE      (1ull << 6)
#define ABORT_STATUS(esr) ((esr) >> 2 & 15) /* of those that have a level: 63..6 are none */
#define ABORT_HAS_LEVEL(esr) (!((esr) & 0x30))
#define STATUS_TRANSLATION 1u
#define STATUS_PERMISSION  3u

#define HPFAR_PAGE(hpfar) (((hpfar) & 0xffffffffff0ull) << 8)
#define PAR_FAILED        1ull
#define PAR_PAGE          0x000ffffffffff000ull
#define PAGE_OFFSET       (PAGE_SIZE - 1)
#define INSTRUCTION       4u /* bytes */

bool guest_run(uint64_t x[31]);                 /* vcpu.S */
void vectors_save(struct vector v[32]);
void vectors_load(const struct vector v[32]);

/* The agent must be found by a guest whose caches are off. */
static void clean_ram(struct vm *vm)
{
    for (uint64_t offset = 0; offset < GUEST_RAM_SIZE; offset += PAGE_SIZE) {
        struct place place;
        stage2_find(&place, vm, gpa(GUEST_RAM + offset));
        clean(pte_frame(*place.entry), PAGE_SIZE);
    }
    __asm__ volatile("ic ialluis; dsb ish" : : : "memory");
}

void arch_vcpu_init(struct vcpu *vcpu, hpa_t root)
{
    struct arch_vcpu *arch = &vcpu->arch;
    arch->pc = GUEST_RAM;
    arch->x[0] = vcpu->index;
    arch->pstate = PSTATE_EL1H_MASKED;
    arch->vttbr = (uint64_t)vcpu->vm->id << VMID_SHIFT | root.value;
    arch->switched.sctlr_el1 = SCTLR_MMU_OFF;
    clean_ram(vcpu->vm);
}

void arch_vcpu_load(struct vcpu *vcpu)
{
    const struct switched *switched = &vcpu->arch.switched;
#define LOAD(name) write_register(name, switched->name);
    SWITCHED_REGISTERS(LOAD)
    if (features.ras)
        write_register(VDISR_EL2, switched->vdisr_el2);
    if (features.sme)
        write_register(TPIDR2_EL0, switched->tpidr2_el0);
    write_register(ttbr0_el1, vcpu->arch.ttbr0);
    write_register(vttbr_el2, vcpu->arch.vttbr);
    vectors_load(vcpu->arch.v);
    synchronize();
}

void arch_vcpu_save(struct vcpu *vcpu)
{
    struct switched *switched = &vcpu->arch.switched;
#define SAVE(name) switched->name = read_register(name);
    SWITCHED_REGISTERS(SAVE)
    if (features.ras)
        switched->vdisr_el2 = read_register(VDISR_EL2);
    if (features.sme)
        switched->tpidr2_el0 = read_register(TPIDR2_EL0);
    vectors_save(vcpu->arch.v);
}

/* What the guest's stage 1 makes of an address. False: it changed meanwhile. */
static bool translate(uint64_t address, uint64_t *page)
{
    uint64_t guests_own = read_register(par_el1);
    __asm__ volatile("at s1e1r, %0; isb" : : "r"(address) : "memory");
    uint64_t result = read_register(par_el1);
    write_register(par_el1, guests_own);
    *page = result & PAR_PAGE;
    return !(result & PAR_FAILED);
}

/* HPFAR_EL2 is not valid if stage 2 found a page but not the right to do this (D19.2.61);
 * if the page's address cannot be found otherwise either, the guest tries again. */
static void decode_abort(struct exit *exit, uint64_t esr)
{
    uint64_t address = read_register(far_el2);
    bool walk = esr & ABORT_WALK;
    bool denied = ABORT_STATUS(esr) == STATUS_PERMISSION;
    if (!ABORT_HAS_LEVEL(esr) || (!denied && ABORT_STATUS(esr) != STATUS_TRANSLATION))
        return;
    uint64_t page = HPFAR_PAGE(read_register(hpfar_el2));
    if (denied && !walk && !translate(address, &page)) {
        exit->kind = EXIT_INTERRUPT;
        return;
    }
    exit->kind = EXIT_FAULT;
    if (walk) { /* FAR_EL2 is not about the table; only an update of it needs a right to it */
        exit->gpa = gpa(page);
        exit->access = denied ? ACCESS_WRITE : ACCESS_READ;
    } else {
        exit->gpa = gpa(page | (address & PAGE_OFFSET));
        exit->access = ESR_CLASS(esr) == CLASS_FETCH ? ACCESS_EXECUTE
                       : esr & ABORT_WRITE           ? ACCESS_WRITE
                                                     : ACCESS_READ;
    }
}

struct exit arch_vcpu_run(struct vcpu *vcpu)
{
    struct arch_vcpu *arch = &vcpu->arch;
    write_register(elr_el2, arch->pc);
    write_register(spsr_el2, arch->pstate);
    bool interrupted = guest_run(arch->x);
    arch->pc = read_register(elr_el2);
    arch->pstate = read_register(spsr_el2);
    arch->ttbr0 = read_register(ttbr0_el1);

    struct exit exit = {.kind = EXIT_INTERRUPT};
    if (interrupted) {
        acknowledge_interrupt();
        return exit;
    }
    exit.kind = EXIT_UNEXPECTED;
    exit.reason = read_register(esr_el2);
    switch (ESR_CLASS(exit.reason)) {
    case CLASS_HVC:
        exit.kind = EXIT_HYPERCALL;
        break;
    case CLASS_FETCH:
    case CLASS_DATA:
        decode_abort(&exit, exit.reason);
        break;
    case CLASS_WAIT:
        exit.kind = EXIT_IDLE;
        arch->pc += INSTRUCTION;
        break;
    }
    return exit;
}

const char *arch_exit_name(uint64_t reason)
{
    switch (ESR_CLASS(reason)) {
    case CLASS_SMC:
        return "a call of the platform's firmware";
    case CLASS_SYSTEM:
        return "a system register";
    case CLASS_FETCH:
    case CLASS_DATA:
        return "memory that did not answer";
    case CLASS_SERROR:
        return "an asynchronous abort";
    default:
        return "an instruction that no guest may execute";
    }
}

uint64_t *arch_vcpu_registers(struct vcpu *vcpu)
{
    return vcpu->arch.x;
}

void arch_vcpu_resume_at(struct vcpu *vcpu, uint64_t address, uint64_t first, uint64_t second)
{
    vcpu->arch.pc = address;
    vcpu->arch.pstate = PSTATE_EL1H_MASKED;
    vcpu->arch.x[0] = first;
    vcpu->arch.x[1] = second;
}
