/* What comes in on the console: one line a message, both ways. A person can type it.
 *
 *   > 17 remap 1 0x60100000 2 0x30000000     SEQUENCE OPERATION VM ARGUMENT...
 *   < 17 ok frame=0x500000                   one answer for each
 *   # a remark                               ! panic FILE:LINE cpu=N exit=0x... why */
#include "hypervisor.h"

#define LINE_LIMIT 160
#define WORD_LIMIT (3 + REQUEST_ARGUMENTS)

static const struct {
    const char *name, *usage;
    enum operation operation;
    unsigned fewest, most; /* arguments after the VM */
} operations[] = {
    {"remap", "SOURCE GPA TARGET GPA", OP_REMAP, 3, 3},
    {"share", "OWNER GPA BORROWER GPA", OP_SHARE, 3, 3},
    {"copy", "SOURCE GPA TARGET GPA", OP_COPY, 3, 3},
    {"reclaim", "OWNER GPA", OP_RECLAIM, 1, 1},
    {"relinquish", "BORROWER GPA", OP_RELINQUISH, 1, 1},
    {"post", "VM GPA PAGES", OP_POST, 2, 2},
    {"withdraw", "VM GPA PAGES", OP_WITHDRAW, 2, 2},
    {"ask", "VM NONCE COMMAND [ARGUMENT...]", OP_ASK, 2, REQUEST_ARGUMENTS},
};
#define OPERATIONS (sizeof operations / sizeof *operations)

/* Decimal, or hexadecimal after 0x; false for anything else, overflow included. */
static bool parse_number(const char *text, uint64_t *value)
{
    unsigned base = 10;
    if (text[0] == '0' && text[1] == 'x') {
        base = 16;
        text += 2;
    }
    *value = 0;
    if (!*text)
        return false;
    for (; *text; text++) {
        unsigned digit = (unsigned)(*text - '0');
        if (digit > 9)
            digit = *text >= 'a' ? (unsigned)(*text - 'a') + 10 : base;
        if (digit >= base || *value > (UINT64_MAX - digit) / base)
            return false;
        *value = *value * base + digit;
    }
    return true;
}

/* Cut the line into words in place; more than fit are counted all the same. */
static unsigned split(char *line, char *word[WORD_LIMIT])
{
    unsigned words = 0;
    for (char previous = ' '; *line; line++) {
        bool starts = previous == ' ' && *line != ' ';
        previous = *line;
        if (*line == ' ')
            *line = '\0';
        if (starts && words++ < WORD_LIMIT)
            word[words - 1] = line;
    }
    return words;
}

static void refuse(uint64_t sequence, enum status status, const char *text, const char *usage)
{
    console_print("< %lu %s %s%s\n", sequence, status_name(status), text, usage);
}

static void help(uint64_t sequence)
{
    for (size_t i = 0; i < OPERATIONS; i++)
        console_print("# SEQUENCE %s %s\n", operations[i].name, operations[i].usage);
    console_print("< %lu ok numbers are decimal or 0x\n", sequence);
}

static void submit(uint64_t sequence, size_t which, char **word, unsigned words)
{
    struct request *request = &slots[DOOR_CONSOLE].request;
    unsigned arguments = words - 1;
    if (words < 1 || arguments < operations[which].fewest || arguments > operations[which].most) {
        refuse(sequence, STATUS_BAD_REQUEST, "wants ", operations[which].usage);
        return;
    }
    *request = (struct request){.sequence = sequence, .operation = operations[which].operation};
    for (unsigned i = 0; i < words; i++) {
        if (!parse_number(word[i], i == 0 ? &request->vm : &request->argument[i - 1])) {
            refuse(sequence, STATUS_BAD_REQUEST, "not a number: ", word[i]);
            return;
        }
    }
    slots[DOOR_CONSOLE].state = SLOT_SUBMITTED;
}

static void take_line(char *line)
{
    char *word[WORD_LIMIT] = {0};
    uint64_t sequence;
    unsigned words = split(*line == '>' ? line + 1 : line, word);
    if (words == 0)
        return;
    if (!parse_number(word[0], &sequence)) {
        refuse(0, STATUS_BAD_REQUEST, "a line is SEQUENCE OPERATION ARGUMENTS", "");
    } else if (words == 1) {
        refuse(sequence, STATUS_BAD_REQUEST, "no operation; try help", "");
    } else if (words > WORD_LIMIT) {
        refuse(sequence, STATUS_BAD_REQUEST, "too many words", "");
    } else if (text_equals(word[1], "help")) {
        help(sequence);
    } else {
        for (size_t i = 0; i < OPERATIONS; i++) {
            if (text_equals(word[1], operations[i].name)) {
                submit(sequence, i, word + 2, words - 2);
                return;
            }
        }
        refuse(sequence, STATUS_UNKNOWN_OPERATION, "try help, not ", word[1]);
    }
}

void console_poll(void)
{
    static char line[LINE_LIMIT];
    static size_t length;
    char byte;
    while (slots[DOOR_CONSOLE].state != SLOT_SUBMITTED && arch_console_read(&byte)) {
        if (byte == '\n' || byte == '\r') {
            bool whole = length < LINE_LIMIT;
            line[whole ? length : 0] = '\0';
            length = 0;
            if (whole)
                take_line(line);
            else
                refuse(0, STATUS_BAD_REQUEST, "the line is too long", "");
        } else if (length < LINE_LIMIT) {
            line[length++] = byte == '\t' || byte == '\0' ? ' ' : byte;
        }
    }
}
