/* A TCG plugin that writes down, in order over all CPUs, what the oracle of the
 * invalidation protocol needs: see record.h. It knows no architecture: what to look for
 * comes in its arguments, all numbers in hexadecimal,
 *
 *   ram=FD:BASE:SIZE    the machine's RAM, which begins at BASE
 *   record=FD:ROOM      the shared file, with room for so many records
 *   guests=ADDRESS      code there and above is a guest's, all other is not
 *   insn=MASK:VALUE     an instruction by its first 8 bytes, little-endian
 *   enter=MASK:VALUE    the same of one that may enter a guest
 *   device=ADDRESS      a device's register
 *
 * Order. A record's number is taken atomically. Records of one CPU are in the order of its
 * program. If what CPU 0 did is known to CPU 1 by an access that CPU 0 made after it, then
 * CPU 0's record is the earlier one: an access is recorded after it was made and before the
 * CPU's next one. The access that tells may itself be recorded late; `since` says how far
 * back it may lie. */
#include "record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "memory.h"
#include "qemu_plugin.h"

#define PATTERN_LIMIT 64
#define DEVICE_LIMIT  8
#define ACCESSES      (RECORD_EXECUTE + 1)
#define DETAIL_SHIFT  56 /* in the data of an instruction's callback: address | number << 56 */

struct pattern {
    uint64_t mask, value;
    bool enters;
};

static struct pattern patterns[PATTERN_LIMIT];
static uint64_t devices[DEVICE_LIMIT];
static unsigned pattern_count, device_count;
static uint64_t guests; /* from here on up code is a guest's */

static struct header *header;
static const uint8_t *watched;
static struct record *records;
static uint64_t room;

/* Of each CPU, and used by its thread alone. */
static struct cpu {
    uint32_t since; /* how many records there were when its last block began */
    bool entering;
    uint64_t *seen; /* by frame and access: header->changes when it was recorded last */
    struct {
        uint64_t address, value, changes;
    } stored; /* last */
    struct {
        uint64_t which, happenings;
    } executed; /* last of what is looked for */
} cpus[RECORD_CPU_LIMIT];

int qemu_plugin_version = QEMU_PLUGIN_API;

static bool recording(void)
{
    return __atomic_load_n(&header->recording, __ATOMIC_RELAXED);
}

static void write_down(unsigned cpu, struct record record)
{
    if (record.kind != RECORD_ACCESS)
        __atomic_add_fetch(&header->changes, 1, __ATOMIC_SEQ_CST);
    if (record.kind != RECORD_ACCESS && record.kind != RECORD_INSTRUCTION)
        __atomic_add_fetch(&header->happenings, 1, __ATOMIC_SEQ_CST);
    uint64_t number = __atomic_fetch_add(&header->count, 1, __ATOMIC_SEQ_CST);
    if (number >= room)
        return;
    record.cpu = (uint8_t)cpu;
    record.since = cpus[cpu].since;
    records[number] = record;
}

static void begin_block(unsigned cpu)
{
    cpus[cpu].since = (uint32_t)__atomic_load_n(&header->count, __ATOMIC_SEQ_CST);
}

/* Nothing can change what an access means to the oracle but a record of another kind. */
static void write_access(unsigned cpu, uint64_t address, uint64_t code, enum record_access access)
{
    if (!(memory_watched(watched, address) & WATCH_ACCESSES))
        return;
    uint64_t changes = __atomic_load_n(&header->changes, __ATOMIC_SEQ_CST) + 1;
    uint64_t *seen = &cpus[cpu].seen[memory_frame(address) * ACCESSES + access];
    if (*seen == changes)
        return;
    *seen = changes;
    write_down(cpu, (struct record){.kind = RECORD_ACCESS, .address = address, .code = code,
                                    .detail = (uint8_t)access});
}

/* Whoever waits for a lock stores the same again and again. */
static void write_store(unsigned cpu, uint64_t unit, uint64_t code)
{
    uint64_t value = memory_load(unit);
    uint64_t changes = __atomic_load_n(&header->changes, __ATOMIC_SEQ_CST);
    struct cpu *by = &cpus[cpu];
    if (by->stored.address == unit && by->stored.value == value && by->stored.changes == changes)
        return;
    write_down(cpu, (struct record){.kind = RECORD_STORE, .address = unit, .code = code, .value = value});
    by->stored.address = unit;
    by->stored.value = value;
    by->stored.changes = changes + 1;
}

/* By units of 8 bytes, which is what can be watched. */
static void write_stores(unsigned cpu, uint64_t address, uint64_t size, uint64_t code)
{
    for (uint64_t unit = address & ~7ull; unit < address + size; unit += 8)
        if (memory_watched(watched, unit) & WATCH_STORES)
            write_store(cpu, unit, code);
}

/* Callbacks. `data` is the host-physical address of the instruction, or of the block. */

static void host_block(unsigned cpu, void *data)
{
    begin_block(cpu);
    uint64_t *guest_code = &header->guest_code[cpu];
    if (!*guest_code && !cpus[cpu].entering)
        return;
    *guest_code = 0;
    cpus[cpu].entering = false;
    if (recording())
        write_down(cpu, (struct record){.kind = RECORD_LEAVE, .code = (uint64_t)data});
}

static void guest_block(unsigned cpu, void *data)
{
    uint64_t code = (uint64_t)data;
    bool enters = !header->guest_code[cpu];
    begin_block(cpu);
    header->guest_code[cpu] = code;
    cpus[cpu].entering = false;
    if (!recording())
        return;
    if (enters)
        write_down(cpu, (struct record){.kind = RECORD_RUN, .code = code});
    write_access(cpu, code, code, RECORD_EXECUTE);
}

/* A loop that waits for something may have a barrier in it: once is enough, until anything
 * else happens on any CPU. */
static void instruction(unsigned cpu, void *data)
{
    struct cpu *by = &cpus[cpu];
    uint64_t which = (uint64_t)data, now = __atomic_load_n(&header->happenings, __ATOMIC_SEQ_CST);
    unsigned number = (unsigned)(which >> DETAIL_SHIFT);
    bool again = by->executed.which == which && by->executed.happenings == now;
    by->entering |= patterns[number].enters;
    if (!recording() || (again && !patterns[number].enters))
        return;
    by->executed.which = which;
    by->executed.happenings = now;
    write_down(cpu, (struct record){.kind = RECORD_INSTRUCTION, .detail = (uint8_t)number,
                                    .code = which & ((1ull << DETAIL_SHIFT) - 1)});
}

static void device_store(unsigned cpu, uint64_t address, uint64_t code)
{
    for (unsigned i = 0; i < device_count; i++)
        if (devices[i] == address)
            write_down(cpu, (struct record){.kind = RECORD_DEVICE, .address = address, .code = code});
}

/* Called for loads too: QEMU 7.2 does not keep to MEM_W everywhere. */
static void host_store(unsigned cpu, qemu_plugin_meminfo_t info, uint64_t virtual, void *data)
{
    if (!recording() || !qemu_plugin_mem_is_store(info))
        return;
    struct qemu_plugin_hwaddr *found = qemu_plugin_get_hwaddr(info, virtual);
    if (!found)
        __atomic_add_fetch(&header->lost, 1, __ATOMIC_RELAXED);
    else if (qemu_plugin_hwaddr_is_io(found))
        device_store(cpu, qemu_plugin_hwaddr_phys_addr(found), (uint64_t)data);
    else
        write_stores(cpu, qemu_plugin_hwaddr_phys_addr(found), 1u << qemu_plugin_mem_size_shift(info),
                     (uint64_t)data);
}

static void guest_access(unsigned cpu, qemu_plugin_meminfo_t info, uint64_t virtual, void *data)
{
    if (!recording())
        return;
    struct qemu_plugin_hwaddr *found = qemu_plugin_get_hwaddr(info, virtual);
    if (!found) {
        __atomic_add_fetch(&header->lost, 1, __ATOMIC_RELAXED);
        return;
    }
    if (qemu_plugin_hwaddr_is_io(found))
        return;
    write_access(cpu, qemu_plugin_hwaddr_phys_addr(found), (uint64_t)data,
                 qemu_plugin_mem_is_store(info) ? RECORD_WRITE : RECORD_READ);
}

/* Translation */

static uint64_t address_of(const struct qemu_plugin_insn *instruction)
{
    const void *host = qemu_plugin_insn_haddr(instruction);
    return host ? memory_address(host) : NOT_RAM;
}

static void look_for(struct qemu_plugin_insn *found, uint64_t code)
{
    uint64_t bytes = 0;
    size_t size = qemu_plugin_insn_size(found);
    memcpy(&bytes, qemu_plugin_insn_data(found), size < sizeof bytes ? size : sizeof bytes);
    for (uint64_t i = 0; i < pattern_count; i++) {
        if ((bytes & patterns[i].mask) != patterns[i].value)
            continue;
        uint64_t data = (code & ((1ull << DETAIL_SHIFT) - 1)) | i << DETAIL_SHIFT;
        qemu_plugin_register_vcpu_insn_exec_cb(found, instruction, QEMU_PLUGIN_CB_NO_REGS, (void *)data);
        return;
    }
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *block)
{
    (void)id;
    uint64_t first = address_of(qemu_plugin_tb_get_insn(block, 0));
    bool guest = first != NOT_RAM && first >= guests;
    qemu_plugin_register_vcpu_tb_exec_cb(block, guest ? guest_block : host_block, QEMU_PLUGIN_CB_NO_REGS,
                                         (void *)first);
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(block); i++) {
        struct qemu_plugin_insn *next = qemu_plugin_tb_get_insn(block, i);
        uint64_t code = address_of(next);
        qemu_plugin_register_vcpu_mem_cb(next, guest ? guest_access : host_store, QEMU_PLUGIN_CB_NO_REGS,
                                         guest ? QEMU_PLUGIN_MEM_RW : QEMU_PLUGIN_MEM_W, (void *)code);
        if (!guest)
            look_for(next, code);
    }
}

/* Start */

/* The numbers of "name=1:2:3", how many there are. */
static unsigned numbers(const char *text, uint64_t number[3])
{
    unsigned count = 0;
    char *end = strchr(text, '=');
    while (end && *end && count < 3)
        number[count++] = strtoull(end + 1, &end, 16);
    return end && !*end ? count : 0;
}

static bool open_record(uint64_t fd, uint64_t count, uint64_t ram_size)
{
    size_t size = RECORD_WATCH + ram_size / 8 + count * sizeof(struct record);
    char *shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, (int)fd, 0);
    if (shared == MAP_FAILED)
        return false;
    header = (struct header *)shared;
    watched = (uint8_t *)shared + RECORD_WATCH;
    records = (struct record *)(shared + RECORD_WATCH + ram_size / 8);
    room = count;
    return true;
}

static bool take(const char *argument)
{
    uint64_t number[3];
    unsigned count = numbers(argument, number);
    bool enters = !strncmp(argument, "enter=", 6);
    if (!strncmp(argument, "ram=", 4))
        return count == 3 && memory_open((int)number[0], number[1], number[2]);
    if (!strncmp(argument, "record=", 7))
        return count == 2 && open_record(number[0], number[1], memory_size());
    if (!strncmp(argument, "guests=", 7)) {
        guests = number[0];
        return count == 1;
    }
    if ((enters || !strncmp(argument, "insn=", 5)) && count == 2 && pattern_count < PATTERN_LIMIT) {
        patterns[pattern_count++] = (struct pattern){number[0], number[1], enters};
        return true;
    }
    if (!strncmp(argument, "device=", 7) && count == 1 && device_count < DEVICE_LIMIT) {
        devices[device_count++] = number[0];
        return true;
    }
    return false;
}

static int refuse(const char *what)
{
    fprintf(stderr, "recorder: %s\n", what);
    return 1;
}

int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info *info, int count, char **arguments)
{
    (void)info;
    for (int i = 0; i < count; i++)
        if (!take(arguments[i]))
            return refuse(arguments[i]);
    if (!header)
        return refuse("ram= and record= are needed");
    for (unsigned i = 0; i < RECORD_CPU_LIMIT; i++) {
        cpus[i].seen = calloc(memory_frames() * ACCESSES, sizeof *cpus[i].seen);
        if (!cpus[i].seen)
            return refuse("no memory");
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    return 0;
}
