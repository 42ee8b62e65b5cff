/* The machine's RAM, as a second mapping of the file that the emulator uses for it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

bool memory_open(int fd, uint64_t base, uint64_t size);
uint64_t memory_size(void);

/* Host-physical address of a place in the emulator's own mapping; NOT_RAM if it is none. */
uint64_t memory_address(const void *place);

/* The 8 bytes there now; 0 if it is not RAM. */
uint64_t memory_load(uint64_t address);

/* Its byte in a map of one byte for each 8 of RAM; 0 if it is not RAM. */
uint8_t memory_watched(const uint8_t *map, uint64_t address);

/* The number of its frame, counted from the first of RAM. */
uint64_t memory_frame(uint64_t address);
uint64_t memory_frames(void); /* how many there are */
