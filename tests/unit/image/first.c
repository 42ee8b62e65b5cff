/* What the typed reader is tried on: every kind of type that C has. Its values are
 * in the test, written down by hand. */

enum colour { RED, GREEN = 5, BLUE };
enum balance { DEBT = -3, EVEN };

typedef struct {
    unsigned long long value;
} hpa_t;
typedef enum { OFF, ON } toggle_t;

struct hidden; /* its members are known to the other file only */

struct node {
    short id;
    struct node *next;
};

union word {
    unsigned all;
    unsigned char bytes[4];
};

struct sample {
    signed char small;
    unsigned short flags;
    long long big;
    _Bool yes;
    enum colour colour;
    enum balance balance;
    toggle_t toggle;
    hpa_t where;
    struct {
        int inside;
        union {
            unsigned whole;
            unsigned short half;
        };
    };
    unsigned low : 3, middle : 7;
    int negative : 5;
    unsigned long long wide : 40;
    const volatile unsigned char plain;
    struct node nodes[3];
    int matrix[2][3];
    struct node *head;
    void *nothing;
    void (*code)(void);
    union word word;
    double ratio;
    float single;
    struct hidden *hidden;
    struct node **indirect;
    unsigned char rest[];
};

extern struct hidden secret;
extern struct sample sample;
static struct node *start = &sample.nodes[2];
static volatile int local = 1;

int add(int a, int b) { return a + b + local; }

/* Its lines come before those of the other file, its address behind them. */
__attribute__((section(".late"))) int late(void) { return local; }

struct sample sample = {
    .small = -2,
    .flags = 0xbeef,
    .big = -5000000000ll,
    .yes = 1,
    .colour = BLUE,
    .balance = DEBT,
    .toggle = ON,
    .where = {0x123456789000},
    .inside = 7,
    .whole = 0x00020001,
    .low = 5,
    .middle = 100,
    .negative = -9,
    .wide = 0xabcdef0123,
    .plain = 255,
    .nodes = {{10, &sample.nodes[1]}, {11, &sample.nodes[2]}, {12, 0}},
    .matrix = {{1, 2, 3}, {4, 5, 6}},
    .head = &sample.nodes[0],
    .code = (void (*)(void))add,
    .word = {0x04030201},
    .ratio = 0.25,
    .single = 1.5f,
    .hidden = &secret,
    .indirect = &start,
};
