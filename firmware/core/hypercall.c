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
    vcpu->work_state = WORK_GIVEN;
    vcpu_set_state(vcpu, VCPU_RUNNING);
    arch_kick(&cpus[vcpu->cpu]);
}

/* Only a guest that waits can be given work; the answer comes when it waits again. */
enum status vcpu_ask(struct vcpu *vcpu, enum door door, const struct request *request)
{
    if (vcpu->state == VCPU_STOPPED)
        return STATUS_STOPPED;
    if (vcpu->state != VCPU_WAITING || vcpu->work_state != WORK_NONE)
        return STATUS_BUSY;
    vcpu->work = *request;
    vcpu->work_door = door;
    give_work(vcpu);
    return STATUS_OK;
}

/* The lock is held. The control CPU tells whoever asked. */
void work_end(struct vcpu *vcpu, enum status status, const char *text)
{
    if (vcpu->work_state == WORK_GIVEN) {
        vcpu->work.status = status;
        vcpu->work.text = text;
        vcpu->work_state = WORK_ENDED;
    }
    arch_kick(&cpus[CONTROL_CPU]);
}

void hypercall(struct vcpu *vcpu)
{
    uint64_t *registers = arch_vcpu_registers(vcpu);
    uint64_t operation = registers[CALL_OPERATION];
    hpa_t frame;

    vcpu->recovering = false;
    lock(&hypervisor_lock);
    switch (operation) {
    case OP_WAIT:
        registers[CALL_STATUS] = STATUS_OK;
        vcpu_set_state(vcpu, VCPU_WAITING);
        work_end(vcpu, STATUS_OK, "the guest came back");
        break;
    case OP_RECOVER:
        vcpu->recovery = registers[CALL_ARGUMENT];
        registers[CALL_STATUS] = STATUS_OK;
        break;
    default:
        registers[CALL_STATUS] = transfer(vcpu->vm, operation, &registers[CALL_ARGUMENT], &frame);
    }
    unlock(&hypervisor_lock);
}
