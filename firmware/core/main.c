/* One CPU does everything in turn: console, requests, guests, sleep. */
#include "hypervisor.h"
#include "lock.h"

struct cpu cpus[CPU_LIMIT];
struct lock hypervisor_lock;

static bool all_wait(void)
{
    for (unsigned id = 1; id <= VM_COUNT; id++)
        for (unsigned i = 0; i < VCPUS_PER_VM; i++)
            if (vms[id].vcpus[i].state != VCPU_WAITING)
                return false;
    return true;
}

void hypervisor_main(void)
{
    arch_init();
    vms_init();
    while (!all_wait() && vms_run())
        ;
    if (!all_wait())
        panic("a guest gave up before it was ready");
    console_print("# pageferry %s ready\n", ARCH_NAME);
    for (;;) {
        console_poll();
        requests_poll();
        if (!vms_run())
            arch_idle();
    }
}
