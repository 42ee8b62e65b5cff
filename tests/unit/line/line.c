/* The firmware's console between two buffers, with a hypervisor that only counts. */
#include "hypervisor.h"

#define ROOM 65536

struct slot slots[DOORS];
static char input[ROOM], output[ROOM];
static size_t input_read, input_end, output_end;
static unsigned done[1024];
static uint64_t postponed;
static struct request waiting[ROOM / 64];
static size_t waiting_end;

bool arch_console_read(char *byte)
{
    if (input_read == input_end)
        return false;
    *byte = input[input_read++];
    return true;
}

void arch_console_write(char byte)
{
    if (output_end < ROOM)
        output[output_end++] = byte;
}

void arch_halt(void)
{
    for (;;)
        ;
}

struct cpu *arch_this_cpu(void)
{
    return NULL;
}

const char *status_name(enum status status)
{
    return status == STATUS_OK ? "ok" : status == STATUS_BAD_REQUEST ? "bad-request" : "unknown-operation";
}

bool text_equals(const char *left, const char *right)
{
    while (*left && *left == *right)
        left++, right++;
    return *left == *right;
}

/* The answer tells what was asked: frame = the page that was named. */
static void answer(struct request request)
{
    request.status = STATUS_OK;
    request.frame = hpa(request.argument[0]);
    request.text = "";
    console_done(&request);
}

/* The firmware gets these bytes, and what it has to say is left in `output`. */
void line_feed(const char *bytes, size_t length)
{
    struct slot *slot = &slots[DOOR_CONSOLE];
    input_read = 0, input_end = length, output_end = 0;
    for (size_t i = 0; i < length; i++)
        input[i] = bytes[i];
    do {
        slot->state = SLOT_FREE;
        console_poll();
        if (slot->state != SLOT_SUBMITTED)
            continue;
        done[slot->request.sequence % 1024]++;
        if (slot->request.sequence == postponed)
            waiting[waiting_end++] = slot->request;
        else
            answer(slot->request);
    } while (slot->state == SLOT_SUBMITTED);
}

size_t line_output(char *bytes)
{
    for (size_t i = 0; i < output_end; i++)
        bytes[i] = output[i];
    return output_end;
}

unsigned line_done(unsigned sequence)
{
    return done[sequence % 1024];
}

/* From now on this request's answer waits; 0: none does, and what waited is given. */
void line_postpone(unsigned sequence)
{
    output_end = 0;
    postponed = sequence;
    for (size_t i = 0; i < waiting_end && !sequence; i++)
        answer(waiting[i]);
    waiting_end = sequence ? waiting_end : 0;
}
