/* Every door but the guest's own: slot -> operation -> answer. */
#include "hypervisor.h"
#include "lock.h"

struct slot slots[DOORS];

static const struct {
    const char *name, *text;
} statuses[] = {
    [STATUS_OK] = {"ok", ""},
    [STATUS_UNKNOWN_OPERATION] = {"unknown-operation", "no operation has this number"},
    [STATUS_BAD_REQUEST] = {"bad-request", "try help"},
    [STATUS_BUSY] = {"busy", "the guest is still at work"},
    [STATUS_UNKNOWN_VM] = {"unknown-vm", "the VMs are 1 and up, without a gap"},
    [STATUS_UNKNOWN_VCPU] = {"unknown-vcpu", "a VM's vCPUs are 0 and up, without a gap"},
    [STATUS_SAME_VM] = {"same-vm", "source and target are one VM"},
    [STATUS_MISALIGNED] = {"misaligned", "an address is not a multiple of the page size"},
    [STATUS_OUT_OF_RANGE] = {"out-of-range", "a source lies in RAM or window, a target in the window"},
    [STATUS_NOT_MAPPED] = {"not-mapped", "the source has no page there"},
    [STATUS_NOT_OWNER] = {"not-owner", "the source only borrows the page"},
    [STATUS_SHARED] = {"shared", "the source does not have the page alone"},
    [STATUS_NOT_SHARED] = {"not-shared", "there is no share to end"},
    [STATUS_PROTECTED] = {"protected", "the frame is the hypervisor's or a table"},
    [STATUS_NOT_POSTED] = {"not-posted", "the target expects no page there"},
    [STATUS_OCCUPIED] = {"occupied", "the target has a page there"},
    [STATUS_NO_MEMORY] = {"no-memory", "no frame is free for a table or a copy"},
    [STATUS_STOPPED] = {"stopped", "the guest does not run any more"},
};

const char *status_name(enum status status)
{
    return statuses[status].name;
}

const char *status_text(enum status status)
{
    return statuses[status].text;
}

static void perform(enum door door, struct request *request)
{
    struct vm *vm = vm_by_id(request->vm);
    struct vcpu *vcpu = vm ? vcpu_by_index(vm, request->vcpu) : NULL;
    request->frame = hpa(0);
    if (request->operation < OP_POST || request->operation > OP_ASK)
        request->status = STATUS_UNKNOWN_OPERATION;
    else if (!vm)
        request->status = STATUS_UNKNOWN_VM;
    else if (!vcpu)
        request->status = STATUS_UNKNOWN_VCPU;
    else if (request->operation == OP_ASK)
        request->status = vcpu_ask(vcpu, door, request);
    else
        request->status = transfer(vm, request->operation, request->argument, &request->frame);
    request->text = status_text(request->status);
    if (request->status == STATUS_STOPPED)
        request->text = vcpu->stop_reason;
}

/* What a guest's CPU left to be told. */
static void tell(struct vcpu *vcpu)
{
    lock(&hypervisor_lock);
    bool ended = vcpu->work_state == WORK_ENDED;
    bool stopped = vcpu->state == VCPU_STOPPED && !vcpu->stop_told;
    vcpu->stop_told |= stopped;
    vcpu->work_state = ended ? WORK_NONE : vcpu->work_state;
    unlock(&hypervisor_lock);
    if (stopped)
        console_print("# vcpu %u.%u stopped: %s\n", vcpu->vm->id, vcpu->index, vcpu->stop_reason);
    if (ended)
        request_done(vcpu->work_door, &vcpu->work);
}

static void serve(enum door door, struct slot *slot)
{
    lock(&hypervisor_lock);
    perform(door, &slot->request);
    unlock(&hypervisor_lock);
    bool handed_on = slot->request.operation == OP_ASK && slot->request.status == STATUS_OK;
    /* The console can ask every guest before the first has come back. */
    slot->state = door == DOOR_CONSOLE ? SLOT_FREE : SLOT_WORKING;
    if (!handed_on)
        request_done(door, &slot->request);
}

void requests_poll(void)
{
    for (unsigned id = 1; id <= VM_COUNT; id++)
        for (unsigned i = 0; i < vms[id].vcpu_count; i++)
            tell(&vms[id].vcpus[i]);
    for (enum door door = 0; door < DOORS; door++)
        if (slots[door].state == SLOT_SUBMITTED)
            serve(door, &slots[door]);
}

void request_done(enum door door, const struct request *request)
{
    struct slot *slot = &slots[door];
    if (door == DOOR_CONSOLE) {
        console_done(request);
        return;
    }
    slot->request.status = request->status;
    slot->request.frame = request->frame;
    slot->request.text = request->text;
    slot->state = SLOT_DONE;
}
