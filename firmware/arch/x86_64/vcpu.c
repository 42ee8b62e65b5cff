/* A vCPU is a VMCB. Everything a guest could do beyond computing on its own memory and
 * reading the time stamp counter is intercepted; the rest of its context is switched. */
#include "hypervisor.h"

#define MSR_EFER      0xc0000080u
#define MSR_VM_CR     0xc0010114u
#define MSR_HSAVE_PA  0xc0010117u
#define CPUID_SVM           (1u << 2)  /* 8000_0001 ECX */
#define CPUID_NX            (1u << 20) /* 8000_0001 EDX */
#define CPUID_NESTED_PAGING (1u << 0)  /* 8000_000a EDX */
#define EFER_LME      (1ull << 8)
#define EFER_LMA      (1ull << 10)
#define EFER_NXE      (1ull << 11)
#define EFER_SVME     (1ull << 12)
#define VM_CR_SVMDIS  (1ull << 4)
#define CR0_PE_ET_NE  0x31ull
#define CR4_PAE       (1ull << 5)
#define CR4_FXSR      (3ull << 9) /* OSFXSR, OSXMMEXCPT */
#define RFLAGS_FIXED  2ull
#define PAT_AT_RESET  0x0007040600070406ull /* APM vol. 2, 7.8.2 */
#define FPU_CONTROL_AT_RESET 0x037fu
#define MXCSR_AT_RESET       0x1f80u

#define VMMCALL_LENGTH 3 /* nRIP is not saved by every CPU */
#define HLT_LENGTH     1

static struct vmcb vmcbs[VM_COUNT * VCPUS_PER_VM] __attribute__((aligned(PAGE_SIZE)));
static char host_save[CPU_LIMIT][PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
static char io_permissions[3 * PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));  /* all denied */
static char msr_permissions[2 * PAGE_SIZE] __attribute__((aligned(PAGE_SIZE))); /* all denied */

_Static_assert(offsetof(struct gprs, r9) == (CALL_REGISTERS - 1) * sizeof(uint64_t), "in the order of a hypercall");

void vmcb_run(hpa_t vmcb, struct gprs *gprs);

/* The memory map that PVH hands over (Xen, public/arch-x86/hvm/start_info.h). */
#define START_INFO_MAGIC 0x336ec578u

struct start_info {
    uint32_t magic, version, flags, modules;
    uint64_t module_list, command_line, rsdp, memory_map;
    uint32_t memory_map_entries, reserved;
};

struct memory_map_entry {
    uint64_t address, size;
    uint32_t type, reserved;
};

extern uint64_t start_info;
extern char hypervisor_start[];

static void check_ram(void)
{
    const struct start_info *info = pointer_to(hpa(start_info));
    if (info->magic != START_INFO_MAGIC)
        panic("not started by the PVH protocol");
    const struct memory_map_entry *map = pointer_to(hpa(info->memory_map));
    uint64_t start = hpa_of(hypervisor_start).value;
    for (uint32_t i = 0; i < info->memory_map_entries; i++)
        if (map[i].type == 1 && map[i].address <= start
            && map[i].address + map[i].size >= RAM_BASE + RAM_SIZE)
            return;
    panic("there is no RAM up to 0x%lx", RAM_BASE + RAM_SIZE);
}

void arch_init(void)
{
    uart_init();
    traps_init();
    check_ram();
    memset(io_permissions, 0xff, sizeof io_permissions);
    memset(msr_permissions, 0xff, sizeof msr_permissions);
    svm_init(CONTROL_CPU);
    interrupts_init();
}

void svm_init(unsigned cpu)
{
    if (!(cpuid(0x80000001).ecx & CPUID_SVM) || !(cpuid(0x8000000a).edx & CPUID_NESTED_PAGING))
        panic("the CPU has no SVM with nested paging (QEMU: -cpu max)");
    if (!(cpuid(0x80000001).edx & CPUID_NX))
        panic("the CPU has no NX");
    if (read_msr(MSR_VM_CR) & VM_CR_SVMDIS)
        panic("SVM is disabled");
    write_msr(MSR_EFER, read_msr(MSR_EFER) | EFER_SVME | EFER_NXE);
    write_msr(MSR_HSAVE_PA, hpa_of(host_save[cpu]).value);
}

static struct vmcb_segment flat(uint16_t selector, uint16_t attributes)
{
    return (struct vmcb_segment){selector, attributes, 0xffffffff, 0};
}

/* The kernel's, whatever ran before, as SYSCALL would make them: selectors 8 and 16. */
static void init_privilege(struct vmcb_save *save)
{
    save->cs = flat(8, save->efer & EFER_LMA ? 0xa9b : 0xc9b);
    save->ss = flat(16, 0xc93);
    save->cpl = 0;
}

/* 32-bit protected mode without paging. EFER and CR4 are ready for long mode, so
 * the guest needs no MSR, and neither can be changed by it. */
static void init_save(struct vmcb_save *save)
{
    init_privilege(save);
    save->ds = save->es = save->fs = save->gs = flat(16, 0xc93);
    save->tr = (struct vmcb_segment){0, 0x8b, 0xffff, 0};
    save->ldtr = (struct vmcb_segment){0, 0x82, 0xffff, 0};
    save->efer = EFER_SVME | EFER_NXE | EFER_LME;
    save->cr4 = CR4_PAE | CR4_FXSR;
    save->cr0 = CR0_PE_ET_NE;
    save->dr6 = 0xffff0ff0;
    save->dr7 = 0x400;
    save->rflags = RFLAGS_FIXED;
    save->rip = GUEST_RAM;
    save->g_pat = PAT_AT_RESET;
}

void arch_vcpu_init(struct vcpu *vcpu, hpa_t root)
{
    unsigned number = (vcpu->vm->id - 1) * VCPUS_PER_VM + vcpu->index;
    struct vmcb *vmcb = &vmcbs[number];
    vcpu->arch.vmcb = vmcb;
    vmcb->control.intercept_cr = INTERCEPT_CR4_WRITE;
    vmcb->control.intercept_dr = INTERCEPT_ALL_DR;
    vmcb->control.intercept_exceptions = INTERCEPT_AC;
    vmcb->control.intercept_events =
        INTERCEPT_INTR | INTERCEPT_NMI | INTERCEPT_SMI | INTERCEPT_INIT | INTERCEPT_RDPMC | INTERCEPT_INVD
        | INTERCEPT_HLT | INTERCEPT_INVLPGA | INTERCEPT_IO | INTERCEPT_MSR | INTERCEPT_TASK
        | INTERCEPT_FERR_FREEZE | INTERCEPT_SHUTDOWN;
    vmcb->control.intercept_instructions = INTERCEPT_SVM_AND_SYSTEM;
    vmcb->control.iopm_base = hpa_of(io_permissions).value;
    vmcb->control.msrpm_base = hpa_of(msr_permissions).value;
    vmcb->control.asid = vcpu->vm->id; /* 0 is the hypervisor's */
    vmcb->control.v_intr = V_INTR_MASKING;
    vmcb->control.np_enable = NP_ENABLE;
    vmcb->control.n_cr3 = root.value;
    init_save(&vmcb->save);
    vcpu->arch.gprs.rdi = vcpu->index;
    vcpu->arch.fpu.control = FPU_CONTROL_AT_RESET;
    vcpu->arch.fpu.mxcsr = MXCSR_AT_RESET;
}

/* FS, GS, TR, LDTR and the MSRs that VMRUN does not switch; x87 and SSE. XCR0 keeps
 * its reset value, so no guest has AVX. */
void arch_vcpu_load(struct vcpu *vcpu)
{
    __asm__ volatile("vmload %%rax" : : "a"(hpa_of(vcpu->arch.vmcb).value) : "memory");
    /* FXRSTOR leaves the addresses of the last x87 instruction and operand as they are
     * unless an exception is pending; FNINIT clears them (APM vol. 2, 11.4.4). */
    __asm__ volatile("fninit; fxrstor64 %0" : : "m"(vcpu->arch.fpu));
}

void arch_vcpu_save(struct vcpu *vcpu)
{
    __asm__ volatile("vmsave %%rax" : : "a"(hpa_of(vcpu->arch.vmcb).value) : "memory");
    __asm__ volatile("fxsave64 %0" : "=m"(vcpu->arch.fpu));
}

static enum access access_of(uint64_t info)
{
    return info & NPF_FETCH ? ACCESS_EXECUTE : info & NPF_WRITE ? ACCESS_WRITE : ACCESS_READ;
}

/* Say which generation the guest runs with, and flush what is older: see smp.c. */
static void enter(struct vcpu *vcpu)
{
    struct arch_vcpu *arch = &vcpu->arch;
    uint64_t generation;
    do {
        generation = vcpu->vm->generation;
        __atomic_store_n(&arch->entered, generation, __ATOMIC_SEQ_CST);
    } while (generation != vcpu->vm->generation);
    arch->vmcb->control.tlb_control = generation == arch->flushed ? TLB_KEEP : TLB_FLUSH_ALL;
    arch->flushed = generation;
}

struct exit arch_vcpu_run(struct vcpu *vcpu)
{
    struct vmcb *vmcb = vcpu->arch.vmcb;
    vmcb->save.rax = vcpu->arch.gprs.rax;
    enter(vcpu);
    vmcb_run(hpa_of(vmcb), &vcpu->arch.gprs);
    vcpu->arch.entered = 0;
    vcpu->arch.gprs.rax = vmcb->save.rax;

    struct exit exit;
    exit.kind = EXIT_UNEXPECTED;
    exit.reason = vmcb->control.exit_code;
    switch (exit.reason) {
    case VMEXIT_VMMCALL:
        if (vmcb->save.cpl != 0) {
            vmcb->control.event_injection = INJECT_UNDEFINED;
            exit.kind = EXIT_INTERRUPT;
            break;
        }
        exit.kind = EXIT_HYPERCALL;
        vmcb->save.rip += VMMCALL_LENGTH;
        break;
    case VMEXIT_NPF:
        exit.kind = EXIT_FAULT;
        exit.gpa = gpa(vmcb->control.exit_info_2);
        exit.access = access_of(vmcb->control.exit_info_1);
        break;
    case VMEXIT_HLT:
        exit.kind = EXIT_IDLE;
        vmcb->save.rip += HLT_LENGTH;
        break;
    case VMEXIT_SMI:
    case VMEXIT_INIT:
        exit.kind = EXIT_INTERRUPT;
        break;
    case VMEXIT_INTR:
    case VMEXIT_NMI:
        exit.kind = EXIT_INTERRUPT;
        __asm__ volatile("sti; nop; cli" : : : "memory");
        break;
    }
    return exit;
}

const char *arch_exit_name(uint64_t reason)
{
    switch ((uint32_t)reason) {
    case VMEXIT_INVALID:
        return "a state that the CPU cannot run";
    case VMEXIT_SHUTDOWN:
        return "triple fault";
    case VMEXIT_IOIO:
        return "an I/O port";
    case VMEXIT_MSR:
        return "a model-specific register";
    case VMEXIT_CR4_WRITE:
        return "a write to CR4";
    default:
        return "an instruction that no guest may execute";
    }
}

uint64_t *arch_vcpu_registers(struct vcpu *vcpu)
{
    return &vcpu->arch.gprs.rax;
}

void arch_vcpu_resume_at(struct vcpu *vcpu, uint64_t address, uint64_t first, uint64_t second)
{
    init_privilege(&vcpu->arch.vmcb->save);
    vcpu->arch.vmcb->save.rip = address;
    vcpu->arch.vmcb->save.rflags = RFLAGS_FIXED;
    vcpu->arch.gprs.rdi = first;
    vcpu->arch.gprs.rsi = second;
}
