// What `bench kernel` measures the sensor's programs against, compiled by clang on the machine that measures.
//
//   empty_*     nothing; its cost is subtracted from every other
//   minimal_*   the smallest useful per-flow packet counter: parse Ethernet, one VLAN tag, IPv4 without options or
//               IPv6, TCP or UDP ports; count packets and bytes in a per-CPU hash
//   timed_*     the same with first and last time, as any flow exporter needs them: what reading the clock costs
//   vary_*      gives each packet one of FLOWS source addresses at random (in a fixed order, the table's memory would be read
//               in the order it was filled), and tail-calls the program under test, so that one repeated frame becomes many flows and no program has to be changed
//
// Self-contained: the few kernel definitions are here, so that no header package is needed.

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))
#define uint(name, value) int (*name)[value]
#define type(name, value) value *name

enum { HASH_PER_CPU = 5, PROGRAMS = 3, XDP_PASS = 2, TC_UNSPEC = -1 };

static void *(*lookup)(void *map, const void *key) = (void *)1;
static long (*update)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static u64 (*ktime_get_ns)(void) = (void *)5;
static long (*tail_call)(void *context, void *map, u32 index) = (void *)12;

struct xdp_md {
	u32 data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex;
};

// The beginning of the kernel's; the verifier rewrites accesses by offset.
struct __sk_buff {
	u32 len, pkt_type, mark, queue_mapping, protocol, vlan_present, vlan_tci, vlan_proto, priority;
	u32 ingress_ifindex, ifindex, tc_index, cb[5], hash, tc_classid, data, data_end;
};

struct key {
	u8 addresses[32];
	u16 ports[2];
	u8 protocol, pad[3];
};

struct count {
	u64 packets, bytes, first, last;
};

struct {
	uint(type, HASH_PER_CPU);
	uint(max_entries, 65536);
	type(key, struct key);
	type(value, struct count);
} counts SEC(".maps");

// Tail calls want equal kinds, so each kind has an array of its own.
#define PROGRAM_ARRAY(name)                                                                                            \
	struct {                                                                                                       \
		uint(type, PROGRAMS);                                                                                  \
		uint(max_entries, 1);                                                                                  \
		uint(key_size, 4);                                                                                     \
		uint(value_size, 4);                                                                                   \
	} name SEC(".maps")
PROGRAM_ARRAY(target_xdp);
PROGRAM_ARRAY(target_frags);
PROGRAM_ARRAY(target_tc);

volatile const u32 FLOWS = 1;
static u32 state = 1;

INLINE u16 read16(const u8 *at)
{
	return *(const u16 *)at;
}

INLINE void copy(u8 *to, const u8 *from, u32 words)
{
#pragma unroll
	for (u32 word = 0; word < words; word++)
		((u32 *)to)[word] = ((const u32 *)from)[word];
}

INLINE void count(const u8 *at, const u8 *end, int timed)
{
	struct key key __attribute__((aligned(8))) = {};
	u64 bytes = end - at;
	if (at + 14 > end)
		return;
	u16 kind = read16(at + 12);
	at += 14;
	if (kind == 0x0081) {
		if (at + 4 > end)
			return;
		kind = read16(at + 2);
		at += 4;
	}
	if (kind == 0x0008) {
		if (at + 20 > end)
			return;
		copy(key.addresses, at + 12, 1);
		copy(key.addresses + 16, at + 16, 1);
		key.protocol = at[9];
		at += 20;
	} else if (kind == 0xdd86) {
		if (at + 40 > end)
			return;
		copy(key.addresses, at + 8, 4);
		copy(key.addresses + 16, at + 24, 4);
		key.protocol = at[6];
		at += 40;
	} else {
		return;
	}
	if (key.protocol == 6 || key.protocol == 17) {
		if (at + 4 > end)
			return;
		key.ports[0] = read16(at);
		key.ports[1] = read16(at + 2);
	}
	struct count *found = lookup(&counts, &key);
	if (found) {
		found->packets += 1;
		found->bytes += bytes;
		if (timed)
			found->last = ktime_get_ns();
	} else {
		u64 now = timed ? ktime_get_ns() : 0;
		struct count first = {1, bytes, now, now};
		update(&counts, &key, &first, 1 /* BPF_NOEXIST */);
	}
}

// Writes a random flow's number into the last two bytes of an IPv4 source address.
INLINE void vary(u8 *at, const u8 *end)
{
	if (at + 34 > end)
		return;
	u32 random = state; // xorshift
	random ^= random << 13;
	random ^= random >> 17;
	random ^= random << 5;
	state = random;
	*(u16 *)(at + 28) = (u16)((u64)random * FLOWS >> 32);
}

#define FRAME(context) (void *)(long)(context)->data, (void *)(long)(context)->data_end

#define XDP_KIND(section, suffix)                                                                                      \
	SEC(section) int empty_##suffix(struct xdp_md *context) { return XDP_PASS; }                                   \
	SEC(section) int minimal_##suffix(struct xdp_md *context)                                                      \
	{                                                                                                              \
		count(FRAME(context), 0);                                                                              \
		return XDP_PASS;                                                                                       \
	}                                                                                                              \
	SEC(section) int timed_##suffix(struct xdp_md *context)                                                        \
	{                                                                                                              \
		count(FRAME(context), 1);                                                                              \
		return XDP_PASS;                                                                                       \
	}                                                                                                              \
	SEC(section) int vary_##suffix(struct xdp_md *context)                                                         \
	{                                                                                                              \
		vary(FRAME(context));                                                                                  \
		tail_call(context, &target_##suffix, 0);                                                           \
		return 0;                                                                                              \
	}
XDP_KIND("xdp", xdp)
XDP_KIND("xdp.frags", frags)

SEC("classifier") int empty_tc(struct __sk_buff *context) { return TC_UNSPEC; }
SEC("classifier") int minimal_tc(struct __sk_buff *context)
{
	count(FRAME(context), 0);
	return TC_UNSPEC;
}
SEC("classifier") int timed_tc(struct __sk_buff *context)
{
	count(FRAME(context), 1);
	return TC_UNSPEC;
}
SEC("classifier") int vary_tc(struct __sk_buff *context)
{
	vary(FRAME(context));
	tail_call(context, &target_tc, 0);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
