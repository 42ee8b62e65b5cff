/* QEMU's panic device on PCI (its docs/specs/pvpanic.txt): one byte behind BAR 0. */
#include "devices.h"

#define PVPANIC_ID        0x00111b36u /* device 0011h, vendor 1b36h */
#define PVPANIC_PANICKED  1u
#define PCI_COMMAND       0x04 /* offsets into a function's configuration (PCI 3.0, 6.1) */
#define PCI_BAR0          0x10
#define PCI_MEMORY_ENABLE 2u

void pvpanic(hpa_t configuration, hpa_t bar)
{
    const volatile uint32_t *id = pointer_to(configuration);
    if (*id != PVPANIC_ID)
        return;
    *(volatile uint32_t *)pointer_to(hpa(configuration.value + PCI_BAR0)) = (uint32_t)bar.value;
    *(volatile uint16_t *)pointer_to(hpa(configuration.value + PCI_COMMAND)) = PCI_MEMORY_ENABLE;
    *(volatile uint8_t *)pointer_to(bar) = PVPANIC_PANICKED;
}
