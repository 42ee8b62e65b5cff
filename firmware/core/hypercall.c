/* What a guest asks of the hypervisor, and what the harness asks of a guest. */
#include "hypervisor.h"
#include "lock.h"

#define ASK_REGISTERS (CALL_REGISTERS - WORK_NONCE)
_Static_assert(ASK_REGISTERS == REQUEST_ARGUMENTS, "work is handed over in the registers after the status");

static void give_work(struct vcpu *vcpu)
{
    uint64_t *registers = arch_vcpu_registers(vcpu);
    registers[CALL_STATUS] = STATUS_OK;
    memcpy(&registers[WORK_NONCE], vcpu->work.argument, sizeof vcpu->work.argument);
    vcpu->working = true;
    vcpu->state = VCPU_RUNNING;
}

/* Only a guest that waits can be given work; the answer comes when it waits again. */
enum status vm_ask(struct vm *vm, enum door door, const struct request *request)
{
    struct vcpu *vcpu = &vm->vcpus[0];
    if (vcpu->state == VCPU_STOPPED)
        return STATUS_STOPPED;
    if (vcpu->state != VCPU_WAITING)
        return STATUS_BUSY;
    vcpu->work = *request;
    vcpu->work_door = door;
    give_work(vcpu);
    return STATUS_OK;
}

static void wait(struct vcpu *vcpu)
{
    vcpu->state = VCPU_WAITING;
    if (!vcpu->working)
        return;
    vcpu->working = false;
    vcpu->work.status = STATUS_OK;
    vcpu->work.text = "the guest came back";
    request_done(vcpu->work_door, &vcpu->work);
}

void hypercall(struct vcpu *vcpu)
{
    uint64_t *registers = arch_vcpu_registers(vcpu);
    uint64_t operation = registers[CALL_OPERATION];
    enum status status = STATUS_OK;
    hpa_t frame;

    vcpu->recovering = false;
    if (operation == OP_WAIT) {
        wait(vcpu);
    } else if (operation == OP_RECOVER) {
        vcpu->recovery = registers[CALL_ARGUMENT];
    } else {
        lock(&hypervisor_lock);
        status = transfer(vcpu->vm, operation, &registers[CALL_ARGUMENT], &frame);
        unlock(&hypervisor_lock);
    }
    registers[CALL_STATUS] = status;
}
