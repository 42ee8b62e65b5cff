/* Virtual machines: how they begin, whose turn it is, and what an exit means. */
#include "hypervisor.h"
#include "lock.h"

struct vm vms[VM_COUNT + 1];

extern const char agent_image[], agent_image_end[];
extern const char hypervisor_end[];

/* CPUs beside the control CPU are given to the first vCPU of each VM, then to the next one
 * of each. Only the first ones share a CPU if need be; others are not made. So no CPU has
 * two of a VM, whose translations it could not tell apart. */
static void vcpus_init(struct vm *vm)
{
    unsigned others = cpu_count - 1;
    for (unsigned i = 0; i < VCPUS_PER_VM; i++) {
        unsigned number = i * VM_COUNT + vm->id - 1;
        if (i > 0 && number >= others)
            return;
        struct vcpu *vcpu = &vm->vcpus[vm->vcpu_count++];
        vcpu->vm = vm;
        vcpu->index = i;
        vcpu->cpu = others ? 1 + number % others : CONTROL_CPU;
        arch_vcpu_init(vcpu, vm->stage2_root);
    }
}

/* Give the VM its RAM, page by page, with the agent at its start. */
static void vm_init(struct vm *vm, unsigned id, hpa_t ram)
{
    vm->id = id;
    vm->generation = 1; /* which no CPU has seen */
    if (!frames_take_root(id, &vm->stage2_root))
        panic("no frame for the root of VM %u", id);
    for (uint64_t offset = 0; offset < GUEST_RAM_SIZE; offset += PAGE_SIZE) {
        hpa_t frame = hpa(ram.value + offset);
        gpa_t page = gpa(GUEST_RAM + offset);
        unsigned rights = ACCESS_READ | ACCESS_WRITE | ACCESS_EXECUTE;
        struct place place;
        stage2_find(&place, vm, page);
        if (!stage2_reserve(&place))
            panic("no frame for a table of VM %u", id);
        stage2_map(&place, frame, rights);
        *frame_at(frame) = (struct frame){.kind = FRAME_GUEST, .owner = (uint8_t)id,
                                          .rights = (uint8_t)rights, .owner_gpa = page};
    }
    memset(pointer_to(ram), 0, GUEST_RAM_SIZE);
    memcpy(pointer_to(ram), agent_image, (size_t)(agent_image_end - agent_image));
    vcpus_init(vm);
}

/* Behind the hypervisor: a block of RAM for each VM, then the pool. */
void vms_init(void)
{
    uint64_t ram = align_up(hpa_of(hypervisor_end).value, GUEST_RAM_SIZE);
    frames_init(hpa(ram + VM_COUNT * GUEST_RAM_SIZE));
    for (unsigned id = 1; id <= VM_COUNT; id++, ram += GUEST_RAM_SIZE)
        vm_init(&vms[id], id, hpa(ram));
}

void vcpu_stop(struct vcpu *vcpu, const char *reason)
{
    lock(&hypervisor_lock);
    vcpu->stop_reason = reason;
    vcpu_set_state(vcpu, VCPU_STOPPED);
    work_end(vcpu, STATUS_STOPPED, reason);
    unlock(&hypervisor_lock);
}

static bool stage2_allows(struct vm *vm, gpa_t address, enum access access)
{
    struct place place;
    stage2_find(&place, vm, address);
    return stage2_is_mapped(&place) && (pte_rights(*place.entry) & access);
}

/* A fault may be none any more by the time it is looked at: then the guest goes
 * on, once. Otherwise it resumes at its recovery address, unless that faults. */
static void fault(struct vcpu *vcpu, const struct exit *exit)
{
    lock(&hypervisor_lock);
    bool allowed = stage2_allows(vcpu->vm, exit->gpa, exit->access);
    unlock(&hypervisor_lock);
    if (allowed && !vcpu->retried) {
        vcpu->retried = true;
        return;
    }
    vcpu->retried = false;
    if (!vcpu->recovery) {
        vcpu_stop(vcpu, "a stage-2 fault without a recovery address");
    } else if (vcpu->recovering) {
        vcpu_stop(vcpu, "a stage-2 fault on the way to recovery");
    } else {
        vcpu->recovering = true;
        arch_vcpu_resume_at(vcpu, vcpu->recovery, exit->gpa.value, exit->access);
    }
}

static void load(struct cpu *cpu, struct vcpu *vcpu)
{
    if (cpu->loaded == vcpu)
        return;
    if (cpu->loaded)
        arch_vcpu_save(cpu->loaded);
    arch_vcpu_load(vcpu);
    cpu->loaded = vcpu;
}

/* Until the vCPU waits, stops, or the CPU is wanted for something else. False: the
 * guest has nothing to do either. */
static bool take_turn(struct cpu *cpu, struct vcpu *vcpu)
{
    load(cpu, vcpu);
    while (vcpu_state(vcpu) == VCPU_RUNNING) {
        struct exit exit = arch_vcpu_run(vcpu);
        cpu->exit_reason = vcpu->exit_reason = exit.reason;
        vcpu->exits++;
        switch (exit.kind) {
        case EXIT_HYPERCALL:
            vcpu->retried = false;
            hypercall(vcpu);
            break;
        case EXIT_FAULT:
            fault(vcpu, &exit);
            break;
        case EXIT_INTERRUPT:
            vcpu->retried = false;
            return true;
        case EXIT_IDLE:
            vcpu->retried = false;
            arch_alarm();
            return false;
        case EXIT_UNEXPECTED:
            vcpu_stop(vcpu, arch_exit_name(exit.reason));
            break;
        }
    }
    return true;
}

bool vms_run(struct cpu *cpu)
{
    bool ran = false;
    for (unsigned id = 1; id <= VM_COUNT; id++) {
        for (unsigned i = 0; i < vms[id].vcpu_count; i++) {
            struct vcpu *vcpu = &vms[id].vcpus[i];
            if (vcpu->cpu == cpu->number && vcpu_state(vcpu) == VCPU_RUNNING)
                ran |= take_turn(cpu, vcpu);
        }
    }
    return ran;
}

bool vms_all(enum vcpu_state state)
{
    for (unsigned id = 1; id <= VM_COUNT; id++)
        for (unsigned i = 0; i < vms[id].vcpu_count; i++)
            if (vcpu_state(&vms[id].vcpus[i]) != state)
                return false;
    return true;
}

unsigned vcpus_on(unsigned cpu)
{
    unsigned found = 0;
    for (unsigned id = 1; id <= VM_COUNT; id++)
        for (unsigned i = 0; i < vms[id].vcpu_count; i++)
            found += vms[id].vcpus[i].cpu == cpu;
    return found;
}
