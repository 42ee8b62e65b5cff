/* What the boards of several architectures have; an architecture's arch.mk names what of
 * it is linked in (ARCH_DEVICES). */
#pragma once

#include "address.h"

/* device_tree.c: where the RAM ends that RAM_BASE lies in; 0 if there is none. Panics if
 * no device tree is there. */
hpa_t ram_end(hpa_t device_tree);

/* pvpanic.c: tell the emulator that the hypervisor has panicked; nothing happens where
 * there is no such device.
 *
 *   configuration  of the device's PCI function, as the host maps it
 *   bar            a free address of the host's memory window for the device's byte */
void pvpanic(hpa_t configuration, hpa_t bar);
