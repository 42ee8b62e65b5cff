/* What comes in on the console: one line a message, both ways. A person can type it.
 *
 *   > 17 remap 1 0x60100000 2 0x30000000     SEQUENCE OPERATION VM ARGUMENT...
 *   > 18 ask 1.1 0x5eed 0                    ... the second vCPU of VM 1; 1 is its first
 *   < 17 ok frame=0x500000                   one answer for each
 *   # a remark                               ! panic FILE:LINE cpu=N exit=0x... why
 *
 * A program on a line that loses, doubles or flips bytes adds a checksum to the request,
 * and gets one with the answer:
 *
 *   *17 remap 1 0x60100000 2 0x30000000 *hjkmabcd
 *   *< 17 ok frame=0x500000 *cbalphgp
 *
 * 8 letters, a to p for 0 to 15, are the CRC-32 of what stands between the two stars.
 * Whatever part of a request is lost, what is left is none without a checksum. A request
 * that was damaged is answered as number 0. One that comes again is not done again: its
 * answer is repeated, or comes when there is one. */
#include "hypervisor.h"

#define LINE_LIMIT 200
#define SUM_LETTERS 8
#define REMEMBERED  64 /* requests */
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
    {"ask", "VM[.VCPU] NONCE COMMAND [ARGUMENT...]", OP_ASK, 2, REQUEST_ARGUMENTS},
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

/* A VM, and where it matters which of its vCPUs, that: "1.0", without it the first. */
static bool parse_vm(char *text, struct request *request)
{
    char *point = text;
    while (*point && *point != '.')
        point++;
    if (!*point)
        return parse_number(text, &request->vm);
    *point = '\0';
    bool is_number = parse_number(text, &request->vm);
    *point = '.';
    return is_number && request->operation == OP_ASK && parse_number(point + 1, &request->vcpu);
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

/* The last requests that were handed in, and their answers once there are any. Sequence
 * and checksum are what they are known by when they come again. */
static struct known {
    uint64_t sequence;
    uint32_t sum;
    bool checked, answered;
    enum status status;
    hpa_t frame;
    const char *text;
} requests[REMEMBERED];

/* The greatest sequence number with a checksum that is not among them any more. */
static uint64_t forgotten;

/* The line that is being looked at. */
static bool checked;
static uint32_t line_sum;

static void refuse(uint64_t sequence, enum status status, const char *text, const char *usage)
{
    console_answer(checked, "< %lu %s %s%s", sequence, status_name(status), text, usage);
}

static void tell(const struct known *known)
{
    const char *space = *known->text ? " " : "";
    if (known->frame.value)
        console_answer(known->checked, "< %lu %s frame=0x%lx%s%s", known->sequence,
                       status_name(known->status), known->frame.value, space, known->text);
    else
        console_answer(known->checked, "< %lu %s%s%s", known->sequence,
                       status_name(known->status), space, known->text);
}

static struct known *find(uint64_t sequence, uint32_t sum)
{
    for (size_t i = 0; i < REMEMBERED; i++)
        if (requests[i].text && requests[i].sequence == sequence && requests[i].sum == sum)
            return &requests[i];
    return NULL;
}

/* In the place of the oldest that was answered: of the others, guests are at work at
 * one each. */
static void remember(uint64_t sequence)
{
    static size_t next;
    struct known *known;
    do
        known = &requests[next++ % REMEMBERED];
    while (known->text && !known->answered);
    if (known->checked && known->sequence > forgotten)
        forgotten = known->sequence;
    *known = (struct known){.sequence = sequence, .sum = line_sum, .checked = checked, .text = ""};
}

/* Whether the request came before; then nothing remains to be done. */
static bool is_known(uint64_t sequence)
{
    struct known *known = checked ? find(sequence, line_sum) : NULL;
    if (known && known->answered) {
        known->checked = true;
        tell(known);
    } else if (known) {
        known->checked = true;
    } else if (checked && sequence <= forgotten) {
        refuse(sequence, STATUS_BAD_REQUEST, "too old to be told from one that was done", "");
    } else {
        return false;
    }
    return true;
}

void console_done(const struct request *request)
{
    for (size_t i = 0; i < REMEMBERED; i++) {
        struct known *known = &requests[i];
        if (!known->text || known->answered || known->sequence != request->sequence)
            continue;
        known->answered = true;
        known->status = request->status;
        known->frame = request->frame;
        known->text = request->text;
        tell(known);
        return;
    }
}

static void help(uint64_t sequence)
{
    for (size_t i = 0; i < OPERATIONS; i++)
        console_print("# SEQUENCE %s %s\n", operations[i].name, operations[i].usage);
    console_answer(checked, "< %lu ok numbers are decimal or 0x", sequence);
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
        if (i == 0 ? !parse_vm(word[0], request) : !parse_number(word[i], &request->argument[i - 1])) {
            refuse(sequence, STATUS_BAD_REQUEST, "not a number: ", word[i]);
            return;
        }
    }
    if (is_known(sequence))
        return;
    remember(sequence);
    slots[DOOR_CONSOLE].state = SLOT_SUBMITTED;
}

/* Of "*REQUEST *LETTERS" the request; NULL if it is not what the letters say. */
static char *check(char *line)
{
    size_t length = 0;
    while (line[length])
        length++;
    if (length < 3 + SUM_LETTERS)
        return NULL;
    char *end = line + length - SUM_LETTERS - 2;
    uint32_t said = 0;
    for (unsigned i = 0; i < SUM_LETTERS; i++) {
        unsigned digit = (unsigned)(end[2 + i] - 'a');
        if (digit > 15)
            return NULL;
        said = said << 4 | digit;
    }
    if (end[0] != ' ' || end[1] != '*')
        return NULL;
    *end = '\0';
    return checksum(line + 1) == said ? line + 1 : NULL;
}

static void take_line(char *line)
{
    char *word[WORD_LIMIT] = {0};
    uint64_t sequence;
    checked = *line == '*';
    if (checked && !(line = check(line))) {
        refuse(0, STATUS_BAD_REQUEST, "the checksum is wrong", "");
        return;
    }
    line_sum = checksum(line);
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
            checked = false;
            if (whole)
                take_line(line);
            else
                refuse(0, STATUS_BAD_REQUEST, "the line is too long", "");
        } else if (length < LINE_LIMIT) {
            line[length++] = byte == '\t' ? ' ' : byte ? byte : '?';
        }
    }
}
