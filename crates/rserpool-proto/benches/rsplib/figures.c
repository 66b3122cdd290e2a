/* What rsplib's handlespace management does per CPU second, as lines `policy elements operation figure`: the same
 * work, with the same values, as ../figures.rs does with ours. Built and run by `cargo xtask bench-handlespace`.
 *
 * Debian's librsphsmgt.so.3 exports its functions, but there is no header for them; what is needed of their
 * binary interface is declared here. The library keeps its state in memory of the caller, whose size we do not know:
 * a page is plenty.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define POOL_ELEMENTS 10
#define ENOUGH 0.25

struct pool_handle {
    size_t size;
    unsigned char octets[32];
};

struct policy_settings {
    unsigned int type, weight, load, degradation, load_dpf, weight_dpf, distance;
};

typedef union {
    char octets[4096];
    long long aligned;
} handlespace;

typedef union {
    char octets[512];
    long long aligned;
} address_block;

extern void poolHandlespaceManagementNew_SimpleRedBlackTree(void *space, uint32_t home, void *, void *, void *);
extern void poolHandlespaceManagementClear_SimpleRedBlackTree(void *space);
extern void poolHandlespaceManagementDelete_SimpleRedBlackTree(void *space);
extern unsigned int poolHandlespaceManagementRegisterPoolElement_SimpleRedBlackTree(
    void *space, const struct pool_handle *handle, uint32_t home, uint32_t pe, unsigned int life,
    const struct policy_settings *policy, const void *user, const void *registrator, int descriptor,
    int32_t association, unsigned long long now, void **element);
extern unsigned int poolHandlespaceManagementHandleResolution_SimpleRedBlackTree(
    void *space, const struct pool_handle *handle, void **elements, size_t *count, size_t items, size_t increment);
extern void poolHandleNew(struct pool_handle *handle, const unsigned char *octets, size_t size);
extern void poolPolicySettingsNew(struct policy_settings *settings);
extern void transportAddressBlockNew(void *block, int protocol, uint16_t port, uint16_t flags, const void *addresses,
                                     size_t count, size_t max);

static uint32_t scrambled(uint32_t number)
{
    uint32_t mixed = number * 0x9e3779b9u;
    mixed ^= mixed >> 16;
    mixed *= 0x85ebca6bu;
    return mixed ^ (mixed >> 13);
}

static struct policy_settings values(uint32_t type, uint32_t number, uint32_t round)
{
    struct policy_settings settings;
    uint32_t value = scrambled(number ^ (round << 24));
    poolPolicySettingsNew(&settings);
    settings.type = type;
    /* The priority is where the weight is. */
    settings.weight = type == 5 ? value : value % 10 + 1;
    settings.load = value;
    settings.degradation = 0x100000;
    return settings;
}

static void make_address(address_block *block, uint32_t number, uint16_t port)
{
    struct {
        struct sockaddr_in in;
        char more[256];
    } address;
    memset(&address, 0, sizeof address);
    address.in.sin_family = AF_INET;
    address.in.sin_port = htons(port);
    address.in.sin_addr.s_addr = htonl(0x0a000000u | number);
    transportAddressBlockNew(block, IPPROTO_SCTP, port, 0, &address, 1, 1);
}

static void fail(const char *what, unsigned int code)
{
    fprintf(stderr, "%s: error %u\n", what, code);
    exit(1);
}

static void register_all(handlespace *space, const struct pool_handle *handle, uint32_t type, uint32_t elements,
                         uint32_t round)
{
    uint32_t number;
    for (number = 1; number <= elements; number++) {
        address_block user, registrator;
        struct policy_settings settings = values(type, number, round);
        void *element = NULL;
        unsigned int code;
        make_address(&user, number, 4739);
        make_address(&registrator, number, 3863);
        code = poolHandlespaceManagementRegisterPoolElement_SimpleRedBlackTree(
            space, handle, 1, scrambled(number), 300000, &settings, &user, &registrator, 1, (int32_t)number, number,
            &element);
        if (code != 0) {
            fail("registration", code);
        }
    }
}

static double cpu(void)
{
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static double resident(void)
{
    long size = 0, pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%ld %ld", &size, &pages) != 2) {
        fail("/proc/self/statm", 0);
    }
    fclose(file);
    return (double)pages * 4096.0;
}

static handlespace space, other;

int main(int argc, char **argv)
{
    struct pool_handle handle;
    uint32_t type, elements, round;
    double seconds, started, before;
    size_t counts[] = {1, POOL_ELEMENTS}, nth;
    if (argc != 3) {
        fprintf(stderr, "usage: figures POLICY-TYPE ELEMENTS\n");
        return 2;
    }
    type = (uint32_t)strtoul(argv[1], NULL, 16);
    elements = (uint32_t)strtoul(argv[2], NULL, 10);
    poolHandleNew(&handle, (const unsigned char *)"FlowCollectors", strlen("FlowCollectors"));

    before = resident();
    poolHandlespaceManagementNew_SimpleRedBlackTree(&space, 1, NULL, NULL, NULL);
    register_all(&space, &handle, type, elements, 0);
    printf("%08x %u memory %.0f\n", type, elements, (resident() - before) / elements);

    for (round = 0, seconds = 0; seconds < ENOUGH; round++) {
        poolHandlespaceManagementNew_SimpleRedBlackTree(&other, 1, NULL, NULL, NULL);
        started = cpu();
        register_all(&other, &handle, type, elements, 0);
        seconds += cpu() - started;
        poolHandlespaceManagementClear_SimpleRedBlackTree(&other);
        poolHandlespaceManagementDelete_SimpleRedBlackTree(&other);
    }
    printf("%08x %u register %.0f\n", type, elements, (double)elements * round / seconds);

    started = cpu();
    for (round = 1; cpu() - started < ENOUGH; round++) {
        register_all(&space, &handle, type, elements, round);
    }
    printf("%08x %u re-register %.0f\n", type, elements, (double)elements * (round - 1) / (cpu() - started));

    for (nth = 0; nth < 2; nth++) {
        double times = 0;
        started = cpu();
        while (cpu() - started < ENOUGH) {
            int again;
            for (again = 0; again < 1000; again++) {
                void *chosen[POOL_ELEMENTS];
                size_t count = counts[nth];
                unsigned int code = poolHandlespaceManagementHandleResolution_SimpleRedBlackTree(
                    &space, &handle, chosen, &count, counts[nth], 1);
                if (code != 0) {
                    fail("resolution", code);
                }
            }
            times += 1000;
        }
        printf("%08x %u resolve-%zu %.0f\n", type, elements, counts[nth], times / (cpu() - started));
    }
    return 0;
}
