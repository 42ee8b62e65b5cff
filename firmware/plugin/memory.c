/* The plugin's view of RAM. QEMU tells where an instruction lies in its own address space
 * only; which mapping that is, and so which byte of RAM, is in /proc/self/maps. */
#include "memory.h"

#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "record.h"

#define FRAME_SHIFT 12

static const char *ours;
static uint64_t base, size;
static ino_t file;

/* A mapping of the emulator's: of RAM, or of something else. */
struct mapping {
    uintptr_t start, end;
    uint64_t first; /* the address of its first byte, or NOT_RAM */
};

static _Thread_local struct mapping last; /* that was asked for */

bool memory_open(int fd, uint64_t ram_base, uint64_t ram_size)
{
    struct stat status;
    ours = mmap(NULL, ram_size, PROT_READ, MAP_SHARED, fd, 0);
    base = ram_base;
    size = ram_size;
    if (ours == MAP_FAILED || fstat(fd, &status))
        return false;
    file = status.st_ino;
    return true;
}

uint64_t memory_size(void)
{
    return size;
}

static bool is_in(uint64_t address)
{
    return address - base < size;
}

static bool find_mapping(uintptr_t place, struct mapping *mapping)
{
    char line[512];
    bool found = false;
    FILE *maps = fopen("/proc/self/maps", "re");
    while (maps && !found && fgets(line, sizeof line, maps)) {
        unsigned long start, end, offset, inode;
        if (sscanf(line, "%lx-%lx %*s %lx %*s %lu", &start, &end, &offset, &inode) != 4)
            continue;
        found = place >= start && place < end;
        if (found)
            *mapping = (struct mapping){start, end, inode == file ? base + offset : NOT_RAM};
    }
    if (maps)
        fclose(maps);
    return found;
}

uint64_t memory_address(const void *place)
{
    uintptr_t at = (uintptr_t)place;
    bool known = (at >= last.start && at < last.end) || find_mapping(at, &last);
    return known && last.first != NOT_RAM ? last.first + (at - last.start) : NOT_RAM;
}

uint64_t memory_load(uint64_t address)
{
    const void *place = ours + (address - base);
    return is_in(address) ? __atomic_load_n((const uint64_t *)place, __ATOMIC_SEQ_CST) : 0;
}

uint8_t memory_watched(const uint8_t *map, uint64_t address)
{
    return is_in(address) ? map[(address - base) / 8] : 0;
}

uint64_t memory_frame(uint64_t address)
{
    return (address - base) >> FRAME_SHIFT;
}

uint64_t memory_frames(void)
{
    return size >> FRAME_SHIFT;
}
