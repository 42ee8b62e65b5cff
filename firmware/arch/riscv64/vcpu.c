/* A vCPU runs in VS-mode. Its own exceptions go to its own kernel; it has no interrupts,
 * no clock and no counter but that of its instructions, and of what the hypervisor
 * extension offers nothing. */
#include "hypervisor.h"
#include "devices.h"

/* sstatus and vsstatus (privileged architecture, 4.1.1 and 8.2.11) */
#define SSTATUS_SPP      (1ull << 8)
#define SSTATUS_FS_DIRTY (3ull << 13)
#define SSTATUS_UXL_64   (2ull << 32)

/* hstatus (8.2.1)
 *
 *   33..32  22    21   20    17..12  9   8     7    6    5
 *   VSXL    VTSR  VTW  VTVM  VGEIN   HU  SPVP  SPV  GVA  VSBE */
#define HSTATUS_SPV     (1ull << 7)  /* SRET goes to V=1 */
#define HSTATUS_VTW     (1ull << 21) /* WFI traps */
#define HSTATUS_VSXL_64 (2ull << 32)

/* Exceptions and interrupts by their code in scause (4.1.8, table 8.6) */
#define CAUSE_INTERRUPT   (1ull << 63)
#define CAUSE_CALL        10
#define CAUSE_FETCH_FAULT 20
#define CAUSE_LOAD_FAULT  21
#define CAUSE_INSTRUCTION 22
#define CAUSE_STORE_FAULT 23

/* Pseudoinstructions in htinst: 64-bit accesses to the guest's own table (8.6.3) */
#define HTINST_TABLE_READ  0x3000
#define HTINST_TABLE_WRITE 0x3020

/* What a guest causes without us: misaligned and access faults (0, 1 and 4 to 7), an
 * illegal instruction, a breakpoint, its user's ECALL, page faults of its own tables. */
#define HEDELEG_OWN 0xb1ffull

#define COUNTEREN_INSTRET (1ull << 2)
#define HGATP_SV39X4      (8ull << 60)
#define HGATP_VMID_SHIFT  44
#define SIE_ALL           (1ull << 1 | 1ull << 5 | 1ull << 9) /* software, timer, external */

#define ECALL_LENGTH 4
#define WFI          0x10500073u
#define WFI_LENGTH   4

_Static_assert(offsetof(struct arch_vcpu, gprs.a6) == (CALL_REGISTERS - 1) * sizeof(uint64_t), "in the order of a hypercall");
_Static_assert(offsetof(struct arch_vcpu, gprs.s11) == 0x0f0, "vcpu.S");
_Static_assert(offsetof(struct arch_vcpu, pc) == 0x0f8, "vcpu.S");
_Static_assert(offsetof(struct arch_vcpu, host_sp) == 0x110, "vcpu.S");
_Static_assert(offsetof(struct fpu, fcsr) == 0x100, "vcpu.S");

void vcpu_enter(struct arch_vcpu *arch);
void fpu_load(const struct fpu *fpu);
void fpu_save(struct fpu *fpu);

extern const char hypervisor_end[];
extern uint64_t boot_hart, device_tree; /* boot.S */

/* Behind the hypervisor lie the guests' RAM and the pool: see vms_init(). */
static void check_ram(void)
{
    uint64_t used = align_up(hpa_of(hypervisor_end).value, GUEST_RAM_SIZE) + VM_COUNT * GUEST_RAM_SIZE
                    + POOL_FRAMES * PAGE_SIZE;
    if (ram_end(hpa(device_tree)).value < RAM_BASE + RAM_SIZE)
        panic("there is no RAM up to 0x%lx", RAM_BASE + RAM_SIZE);
    if (device_tree < used)
        panic("the device tree at 0x%lx is in the way", device_tree);
}

void arch_init(void)
{
    uart_init();
    check_ram();
    hart_init();
    interrupts_init(boot_hart);
}

void hart_init(void)
{
    uint64_t wanted = HGATP_SV39X4 | (uint64_t)VM_COUNT << HGATP_VMID_SHIFT;
    csr_write(CSR_HGATP, wanted);
    if (csr_read(CSR_HGATP) != wanted)
        panic("the CPU has no Sv39x4, or no VMID for each VM");
    csr_write(CSR_HGATP, 0);
    csr_write(CSR_SSTATUS, SSTATUS_UXL_64 | SSTATUS_FS_DIRTY);
    csr_write(CSR_HSTATUS, HSTATUS_VSXL_64 | HSTATUS_VTW | HSTATUS_SPV);
    csr_write(CSR_HEDELEG, HEDELEG_OWN);
    csr_write(CSR_HIDELEG, 0); /* vsie and vsip read as zero */
    csr_write(CSR_HVIP, 0);
    csr_write(CSR_HCOUNTEREN, COUNTEREN_INSTRET);
    csr_write(CSR_HTIMEDELTA, 0);
    csr_write(CSR_HENVCFG, 0);
    csr_write(CSR_VSATP, 0);
    csr_write(CSR_SIE, SIE_ALL);
    hfence_gvma_all();
}

void arch_vcpu_init(struct vcpu *vcpu, hpa_t root)
{
    struct arch_vcpu *arch = &vcpu->arch;
    arch->pc = GUEST_RAM;
    arch->gprs.a0 = vcpu->index;
    arch->sstatus = SSTATUS_UXL_64 | SSTATUS_FS_DIRTY | SSTATUS_SPP;
    arch->hgatp = HGATP_SV39X4 | (uint64_t)vcpu->vm->id << HGATP_VMID_SHIFT | root.value >> PAGE_SHIFT;
    arch->vsstatus = SSTATUS_UXL_64;
}

/* vsatp is zero while hgatp changes: no guest's table is walked ahead through the other's
 * (8.2.18). What was stored as data may be the guest's program, and a reservation is not
 * to outlive the turn it was made in. */
void arch_vcpu_load(struct vcpu *vcpu)
{
    struct arch_vcpu *arch = &vcpu->arch;
    csr_write(CSR_HGATP, arch->hgatp);
    csr_write(CSR_VSATP, arch->vsatp);
    csr_write(CSR_VSSTATUS, arch->vsstatus);
    csr_write(CSR_VSTVEC, arch->vstvec);
    csr_write(CSR_VSSCRATCH, arch->vsscratch);
    csr_write(CSR_VSEPC, arch->vsepc);
    csr_write(CSR_VSCAUSE, arch->vscause);
    csr_write(CSR_VSTVAL, arch->vstval);
    csr_write(CSR_SCOUNTEREN, arch->scounteren);
    csr_write(CSR_SENVCFG, arch->senvcfg);
    fpu_load(&arch->fpu);
    uint64_t nowhere, failed;
    __asm__ volatile("fence.i; sc.d %0, zero, (%1)" : "=&r"(failed) : "r"(&nowhere) : "memory");
}

void arch_vcpu_save(struct vcpu *vcpu)
{
    struct arch_vcpu *arch = &vcpu->arch;
    csr_write(CSR_VSATP, 0); /* kept at each exit */
    arch->vsstatus = csr_read(CSR_VSSTATUS);
    arch->vstvec = csr_read(CSR_VSTVEC);
    arch->vsscratch = csr_read(CSR_VSSCRATCH);
    arch->vsepc = csr_read(CSR_VSEPC);
    arch->vscause = csr_read(CSR_VSCAUSE);
    arch->vstval = csr_read(CSR_VSTVAL);
    arch->scounteren = csr_read(CSR_SCOUNTEREN);
    arch->senvcfg = csr_read(CSR_SENVCFG);
    fpu_save(&arch->fpu);
}

static bool is_fault(uint64_t cause)
{
    return cause == CAUSE_FETCH_FAULT || cause == CAUSE_LOAD_FAULT || cause == CAUSE_STORE_FAULT;
}

/* The address is in htval without its two lowest bits, which are those of the guest's own
 * address in stval, unless the CPU wanted an entry of the guest's table: htinst tells, and
 * the cause is then of what the guest wanted (8.2.8 and 8.6.3). */
static struct exit fault_exit(uint64_t cause)
{
    struct exit exit = {.kind = EXIT_FAULT, .gpa = gpa(csr_read(CSR_HTVAL) << 2), .reason = cause};
    switch (csr_read(CSR_HTINST)) {
    case HTINST_TABLE_READ:
        exit.access = ACCESS_READ;
        break;
    case HTINST_TABLE_WRITE:
        exit.access = ACCESS_WRITE;
        break;
    default:
        exit.gpa.value |= csr_read(CSR_STVAL) & 3;
        exit.access = cause == CAUSE_FETCH_FAULT ? ACCESS_EXECUTE
                      : cause == CAUSE_STORE_FAULT ? ACCESS_WRITE : ACCESS_READ;
    }
    return exit;
}

struct exit arch_vcpu_run(struct vcpu *vcpu)
{
    struct arch_vcpu *arch = &vcpu->arch;
    if (is_fault(arch->cause)) /* by an entry that was absent then, and may be kept as such */
        hfence_gvma_all();
    vcpu_enter(arch);
    uint64_t cause = arch->cause = csr_read(CSR_SCAUSE);
    if (is_fault(cause))
        return fault_exit(cause);

    struct exit exit = {.kind = EXIT_UNEXPECTED, .reason = cause};
    if (cause == CAUSE_CALL) {
        exit.kind = EXIT_HYPERCALL;
        arch->pc += ECALL_LENGTH;
    } else if (cause & CAUSE_INTERRUPT) {
        exit.kind = EXIT_INTERRUPT;
        acknowledge(cause & ~CAUSE_INTERRUPT);
    } else if (cause == CAUSE_INSTRUCTION && csr_read(CSR_STVAL) == WFI) {
        exit.kind = EXIT_IDLE; /* stval holds the instruction on a CPU with Sstvala */
        arch->pc += WFI_LENGTH;
    }
    return exit;
}

const char *arch_exit_name(uint64_t reason)
{
    return reason == CAUSE_INSTRUCTION ? "an instruction that no guest may execute"
                                       : "an exception that no guest has";
}

uint64_t *arch_vcpu_registers(struct vcpu *vcpu)
{
    return &vcpu->arch.gprs.a0;
}

void arch_vcpu_resume_at(struct vcpu *vcpu, uint64_t address, uint64_t first, uint64_t second)
{
    vcpu->arch.pc = address;
    vcpu->arch.sstatus |= SSTATUS_SPP;
    vcpu->arch.gprs.a0 = first;
    vcpu->arch.gprs.a1 = second;
}
