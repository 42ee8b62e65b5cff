/* A second file: defines what the first only declares, and has a name twice. */

struct hidden {
    int found;
};

struct hidden secret = {99};
static volatile int local = 2;
unsigned char page[8192];

int twice(void) { return local + secret.found + page[0]; }
