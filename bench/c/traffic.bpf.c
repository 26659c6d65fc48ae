// What `bench traffic` and `bench live` run in the kernel, compiled by clang on the machine that measures.
//
//   send      makes each frame of a live-frame test run the next of a schedule, and sends it out of an interface
//   pass      the empty program: what XDP itself costs when packets go on into the stack
//   drop      the empty program on a tap
//   redirect  the smallest program that feeds AF_XDP sockets
//
// Self-contained: the few kernel definitions are here, so that no header package is needed.

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))
#define uint(name, value) int (*name)[value]
#define type(name, value) value *name

enum { ARRAY = 2, XSKMAP = 17, XDP_DROP = 1, XDP_PASS = 2 };

static void *(*lookup)(void *map, const void *key) = (void *)1;
static long (*redirect_to)(u32 interface, u64 flags) = (void *)23;
static long (*redirect_map)(void *map, u64 key, u64 flags) = (void *)51;
static long (*adjust_tail)(void *context, int delta) = (void *)65;

struct xdp_md {
	u32 data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex;
};

enum { HEAD = 80 };
enum { AS_IS, RANDOM_SOURCE, ROUND_SOURCE, ROUND_DESTINATION, RANDOM_FLOW };

// One frame, as `traffic/frame.rs` writes it.
struct slot {
	u16 length;
	u8 vary, pad[5];
	u64 head[HEAD / 8];
};

struct {
	uint(type, ARRAY);
	uint(max_entries, 1);
	type(key, u32);
	type(value, struct slot);
} schedule SEC(".maps");

// How far the schedule is: a lane has an object of its own.
struct progress {
	u64 sent;
	u32 next, round;
};

struct {
	uint(type, ARRAY);
	uint(max_entries, 1);
	type(key, u32);
	type(value, struct progress);
} progress SEC(".maps");

volatile const u32 OUT = 0;
volatile const u32 SLOTS = 1;
// Of the frame the test run starts from.
volatile const u32 LENGTH = 0;
volatile const u64 SEED = 0;
volatile const u32 FLOWS = 1;

// SplitMix64's finaliser.
static inline __attribute__((always_inline)) u64 mix(u64 number)
{
	number *= 0x9e3779b97f4a7c15ull;
	number = (number ^ number >> 30) * 0xbf58476d1ce4e5b9ull;
	number = (number ^ number >> 27) * 0x94d049bb133111ebull;
	return number ^ number >> 31;
}

SEC("xdp") int send(struct xdp_md *context)
{
	u8 *at = (void *)(long)context->data;
	u8 *end = (void *)(long)context->data_end;
	u32 zero = 0;
	struct progress *now = lookup(&progress, &zero);
	if (!now || at + HEAD > end)
		return XDP_DROP;
	u32 index = now->next;
	if (index >= SLOTS) {
		index = 0;
		now->round++;
	}
	now->next = index + 1;
	struct slot *slot = lookup(&schedule, &index);
	if (!slot)
		return XDP_DROP;
	now->sent++;
#pragma unroll
	for (u32 word = 0; word < HEAD / 8; word++)
		((u64 *)at)[word] = slot->head[word];
	if (slot->vary == RANDOM_SOURCE) {
		// Every source another: the seed decides which they are.
		u64 draw = mix(now->sent + SEED);
		*(u32 *)(at + 26) = (u32)draw;
		// Neither 0, nor multicast and beyond.
		at[26] = (u8)draw % 223 + 1;
		*(u16 *)(at + 34) = (u16)(draw >> 32);
	} else if (slot->vary == RANDOM_FLOW) {
		// Drawn here: a schedule of that many would push the receiver's flows out of the caches.
		*(u16 *)(at + 28) = (u16)((mix(now->sent + SEED) >> 32) * FLOWS >> 32);
	} else if (slot->vary == ROUND_SOURCE) {
		*(u16 *)(at + 28) ^= (u16)now->round;
	} else if (slot->vary == ROUND_DESTINATION) {
		*(u16 *)(at + 32) ^= (u16)now->round;
	}
	if (slot->length != LENGTH)
		adjust_tail(context, (int)slot->length - (int)LENGTH);
	return redirect_to(OUT, 0);
}

SEC("xdp") int pass(struct xdp_md *context) { return XDP_PASS; }

SEC("xdp") int drop(struct xdp_md *context) { return XDP_DROP; }

struct {
	uint(type, XSKMAP);
	uint(max_entries, 64);
	uint(key_size, 4);
	uint(value_size, 4);
} sockets SEC(".maps");

SEC("xdp") int redirect(struct xdp_md *context)
{
	return redirect_map(&sockets, context->rx_queue_index, XDP_DROP);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
