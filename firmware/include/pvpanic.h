/* How a machine with a PCI host tells its emulator that the hypervisor has panicked
 * (QEMU docs/specs/pvpanic.txt): vendor 1b36h, device 0011h, one byte behind BAR 0. */
#pragma once

#include "address.h"

#define PVPANIC_ID        0x00111b36u
#define PVPANIC_PANICKED  1u
#define PCI_COMMAND       0x04 /* offsets into a function's configuration (PCI 3.0, 6.1) */
#define PCI_BAR0          0x10
#define PCI_MEMORY_ENABLE 2u

/* configuration  of the device's function, as the host maps it
 * bar            a free address of the host's memory window for the device's byte
 *
 * Does nothing where there is no such device. */
static inline void pvpanic(hpa_t configuration, hpa_t bar)
{
    volatile uint32_t *id = pointer_to(configuration);
    if (*id != PVPANIC_ID)
        return;
    *(volatile uint32_t *)pointer_to(hpa(configuration.value + PCI_BAR0)) = (uint32_t)bar.value;
    *(volatile uint16_t *)pointer_to(hpa(configuration.value + PCI_COMMAND)) = PCI_MEMORY_ENABLE;
    *(volatile uint8_t *)pointer_to(bar) = PVPANIC_PANICKED;
}
