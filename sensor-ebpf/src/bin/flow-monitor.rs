//! The BPF programs: XDP on ingress, TC on egress. They count every packet and let it pass.
//!
//! On the host this is an empty `main`, so that every build works anywhere.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

#[cfg(not(target_arch = "bpf"))]
fn main() {}

#[cfg(target_arch = "bpf")]
mod programs {
    use core::ffi::c_void;

    use aya_ebpf::{
        bindings::{self, BPF_RB_FORCE_WAKEUP, TC_ACT_UNSPEC, xdp_action},
        btf_maps::{Array, HashMap, PerCpuArray, RingBuf, XskMap},
        helpers::{
            bpf_get_smp_processor_id, bpf_ktime_get_ns,
            generated::{
                bpf_skb_load_bytes, bpf_skb_pull_data, bpf_xdp_adjust_meta, bpf_xdp_get_buff_len,
                bpf_xdp_load_bytes,
            },
        },
        macros::{btf_map, xdp},
        programs::XdpContext,
    };
    use sensor_ebpf::{
        account::{self, Segments},
        bounds::{Cursor, opaque, opaque_number},
        flow::{FlowCounters, FlowKey, TimeNs, epoch_of},
        frame::{self, Malformed, NoFlow, Packet, tunnel},
        maps::{
            BELL_BYTES, Counting, EVIDENCE_BYTES_MAX, EVIDENCE_RING_BYTES, Evidence,
            EvidenceHeader, FLOWS_PER_TABLE, HANDED_OVER_META_BYTES, HOOK_STATES_LENGTH, Hook,
            HookState, Ledger, SEEN_BY_TC, SLOTS_MAX, TABLE_FLAGS, TABLES_PER_CPU, TAPS_MAX,
            WATCH_MAX, WATCHED_INTERFACES_MAX, XSKS_MAX, hook_index, table_index,
        },
        table::{self, Entry, Fill, Line, Place, Refused, SECRETS, Size, Slotted},
    };

    /// Which flow table is in use, by [`table_index`]. The agent puts an empty table here when an epoch is over, and then
    /// reads the full one undisturbed.
    #[btf_map]
    static FLOW_SLOTS: Array<u64, SLOTS_MAX, { TABLE_FLAGS as usize }> = Array::new();

    /// Where in its table a flow is.
    #[btf_map]
    static FLOW_INDEX: Array<
        Line,
        { Size::of(FLOWS_PER_TABLE as u32).lines as usize },
        { TABLE_FLAGS as usize },
    > = Array::new();

    /// How full each table is.
    #[btf_map]
    static FLOW_FILLS: Array<Fill, TABLES_PER_CPU, { TABLE_FLAGS as usize }> = Array::new();

    /// The tables.
    #[btf_map]
    static FLOWS: Array<Entry, FLOWS_PER_TABLE, { TABLE_FLAGS as usize }> = Array::new();

    /// Where each packet went, by [`Hook`].
    #[btf_map]
    static HOOK_STATES: PerCpuArray<HookState, HOOK_STATES_LENGTH> = PerCpuArray::new();

    /// Wakes the agent when a table fills. What is in it does not matter: the agent looks at the tables.
    #[btf_map]
    static BELL: RingBuf<u64, BELL_BYTES> = RingBuf::new();

    /// AF_XDP sockets of taps.
    #[btf_map]
    static XSKS: XskMap<XSKS_MAX> = XskMap::new();

    /// First slot in [`XSKS`] by interface index.
    #[btf_map]
    static TAPS: HashMap<u32, u32, TAPS_MAX> = HashMap::new();

    /// The interfaces whose arriving packets are counted.
    #[btf_map]
    static WATCHED_INTERFACES: HashMap<u32, u32, WATCHED_INTERFACES_MAX> = HashMap::new();

    /// Packets still to be copied, by flow.
    #[btf_map]
    static WATCH: HashMap<FlowKey, i64, WATCH_MAX> = HashMap::new();

    /// Copies of packets on their way to the agent.
    #[btf_map]
    static EVIDENCE: RingBuf<u8, EVIDENCE_RING_BYTES> = RingBuf::new();

    /// Where a copy is put together.
    #[btf_map]
    static SCRATCH: PerCpuArray<Evidence, 1> = PerCpuArray::new();

    /// What a new flow starts from. In read-only data, because 248 bytes are half of the stack.
    static EMPTY: FlowCounters = FlowCounters::EMPTY;

    // Load-time constants: the loader writes them before it freezes the map, and the verifier then takes the
    // branches they decide as decided.
    /// Added to CLOCK_MONOTONIC, it gives nanoseconds since the Unix epoch.
    #[unsafe(no_mangle)]
    static CLOCK_OFFSET: u64 = 0;
    /// 1: a packet's time is in the first eight bytes of the frame, where its MAC addresses were. For tests.
    #[unsafe(no_mangle)]
    static CLOCK_FROM_FRAME: u8 = 0;
    /// The bell rings each time this many flows and one more, a power of two, have been added to a table.
    #[unsafe(no_mangle)]
    static BELL_MASK: u32 = u32::MAX;
    /// Size of all tables.
    #[unsafe(no_mangle)]
    static TABLE_SIZE: Size = Size {
        entries: 0,
        lines: 0,
    };
    /// What keys are hashed with.
    #[unsafe(no_mangle)]
    static TABLE_SECRETS: [u64; SECRETS] = [0; SECRETS];

    /// Bytes of a packet that are copied at most; 0: none is.
    #[unsafe(no_mangle)]
    static EVIDENCE_BYTES: u32 = 0;
    /// Packets of each flow and epoch that are copied, watched or not.
    #[unsafe(no_mangle)]
    static FIRST_PACKETS: u64 = 0;

    /// 1: flows are those inside of tunnels.
    #[unsafe(no_mangle)]
    static DECAP: u8 = 0;
    /// A [`Counting`]: what becomes of a packet that passes two hooks.
    #[unsafe(no_mangle)]
    static COUNTING: u8 = 0;

    #[inline(always)]
    fn constant<T: Copy>(of: &'static T) -> T {
        // SAFETY: a valid reference; volatile, because the loader changes the value after the compiler has run.
        unsafe { core::ptr::read_volatile(of) }
    }

    /// The frame between the two packet pointers of a context, which the kernel shows as 32-bit numbers.
    ///
    /// # Safety
    /// `data` and `data_end` are fresh from the context of the running program.
    #[inline(always)]
    unsafe fn frame_between<'a>(data: u32, data_end: u32) -> Cursor<'a> {
        // Opaque, because a compiler that knows the upper half to be zero may spill 32 bits of what the verifier
        // knows to be a pointer of 64.
        let start = opaque(data as usize as *const u8);
        let end = opaque(data_end as usize as *const u8);
        // SAFETY: the kernel keeps the packet between the two pointers in place while the program runs.
        unsafe { Cursor::from_raw(start, end) }
    }

    /// The program of a host's interface.
    #[xdp(frags)]
    pub(crate) fn flow_ingress(context: XdpContext) -> u32 {
        let now = time_of_xdp(&context);
        if let Some(state) = state(Hook::Ingress, now) {
            count_xdp(&context, state, now);
        }
        xdp_action::XDP_PASS
    }

    /// The program of a tap: nothing that arrives here may reach the stack.
    #[xdp(frags)]
    pub(crate) fn flow_tap(context: XdpContext) -> u32 {
        let now = time_of_xdp(&context);
        let Some(state) = state(Hook::Ingress, now) else {
            return xdp_action::XDP_DROP;
        };
        if let Some(slot) = socket(&context)
            && stamp(&context, now)
        {
            state.ledger.seen += 1;
            state.ledger.handed_over += 1;
            // From here on the socket counts what becomes of the frame (`struct xdp_statistics`).
            return XSKS
                .redirect(slot, u64::from(xdp_action::XDP_DROP))
                .unwrap_or(xdp_action::XDP_DROP);
        }
        count_xdp(&context, state, now);
        xdp_action::XDP_DROP
    }

    #[inline(always)]
    fn time_of_xdp(context: &XdpContext) -> TimeNs {
        // SAFETY: the context the kernel passed.
        let context = unsafe { &*context.ctx };
        // SAFETY: fresh from the context.
        time(unsafe { frame_between(context.data, context.data_end) })
    }

    #[inline(always)]
    fn count_xdp(context: &XdpContext, state: &mut HookState, now: TimeNs) {
        let raw = context.ctx;
        // SAFETY: the context the kernel passed.
        let context = unsafe { &*raw };
        // SAFETY: fresh from the context.
        let frame = unsafe { frame_between(context.data, context.data_end) };
        let outcome = parse(frame, frame.remaining() as u32, state);
        let seen = Seen {
            hook: Hook::Ingress,
            now,
            again: false,
            interface: || context.ingress_ifindex,
            // SAFETY: the context the kernel passed.
            length: || unsafe { bpf_xdp_get_buff_len(raw) as u32 },
            // SAFETY: the context, and so many bytes of room as said.
            load: |to, length| unsafe { bpf_xdp_load_bytes(raw, 0, to, length) },
        };
        count(outcome, state, &seen, |_| Segments::ONE);
    }

    /// The slot of the socket for this interface and queue, if there is one.
    #[inline(always)]
    fn socket(context: &XdpContext) -> Option<u32> {
        // SAFETY: the context the kernel passed.
        let context = unsafe { &*context.ctx };
        // Opaque, so that the key is looked up where it was copied to: a helper takes no pointer into the context.
        let interface = opaque_number(context.ingress_ifindex);
        // SAFETY: the agent writes the entry once, when the sockets are there.
        let first = unsafe { TAPS.get(&interface) }?;
        let slot = *first + context.rx_queue_index;
        XSKS.get(slot).map(|_| slot)
    }

    /// Puts the time in front of the frame; false where the driver leaves no room for it.
    #[inline(always)]
    fn stamp(context: &XdpContext, now: TimeNs) -> bool {
        let raw = context.ctx;
        // SAFETY: the context the kernel passed.
        if unsafe { bpf_xdp_adjust_meta(raw, -(HANDED_OVER_META_BYTES as i32)) } != 0 {
            return false;
        }
        // SAFETY: as above; the call has moved `data_meta`.
        let (meta, data) = unsafe { ((*raw).data_meta, (*raw).data) };
        let meta = opaque(meta as usize as *const u8);
        if meta.wrapping_add(HANDED_OVER_META_BYTES) > opaque(data as usize as *const u8) {
            return false;
        }
        // SAFETY: eight bytes between `data_meta` and `data`, as was just compared.
        unsafe { meta.cast_mut().cast::<u64>().write_unaligned(now) };
        true
    }

    /// Headers a parser may want to look at: tags, IPv6 with some extensions, TCP.
    const HEADERS_BYTES: u32 = 512;

    /// The context as the program's type information names it. The bindings' type of that name leads to types that are
    /// only declared, and LLVM writes those in the order of their addresses in its memory: another object each time.
    #[repr(C)]
    pub(crate) struct __sk_buff {
        len: u32,
    }

    #[unsafe(no_mangle)]
    #[unsafe(link_section = "classifier")]
    extern "C" fn flow_egress(context: *mut __sk_buff) -> i32 {
        let skb: *mut bindings::__sk_buff = context.cast();
        // SAFETY: `skb` is the context the kernel passed; each field read is one the verifier allows.
        let (length, data, data_end) = unsafe { ((*skb).len, (*skb).data, (*skb).data_end) };
        // SAFETY: fresh from the context.
        let frame = unsafe { frame_between(data, data_end) };
        let now = time(frame);
        let Some(state) = state(Hook::Egress, now) else {
            return TC_ACT_UNSPEC;
        };
        let mut outcome = parse(frame, length, state);
        if is_cut(outcome) && frame.remaining() < length as usize {
            // Headers lie in a page of their own: have them copied to the front, which moves bytes in memory and changes
            // nothing in the packet. Rare, and not done for every packet whose payload is elsewhere, because it unshares
            // the headers of TCP's retransmit queue. On failure the packet is counted as cut.
            let wanted = if length < HEADERS_BYTES {
                length
            } else {
                HEADERS_BYTES
            };
            // SAFETY: the context the kernel passed.
            if unsafe { bpf_skb_pull_data(skb, wanted) } == 0 {
                // SAFETY: as above; pulling has moved the data.
                let (data, data_end) = unsafe { ((*skb).data, (*skb).data_end) };
                // SAFETY: fresh from the context.
                let frame = unsafe { frame_between(data, data_end) };
                outcome = parse(frame, length, state);
            }
        }
        // SAFETY: as above.
        let (tagged, tag) = unsafe { ((*skb).vlan_present, (*skb).vlan_tci) };
        if tagged != 0 {
            // The driver is going to add the outermost tag.
            state.packet.inner_vlan = state.packet.vlan;
            state.packet.vlan = tag as u16 & 0x0fff;
        }
        let seen = Seen {
            hook: Hook::Egress,
            now,
            // SAFETY: as above.
            again: constant(&COUNTING) == Counting::FirstHook as u8
                && is_counted(unsafe { (*skb).ingress_ifindex }, unsafe { (*skb).ifindex }),
            // SAFETY: as above.
            interface: || unsafe { (*skb).ifindex },
            length: || length,
            // SAFETY: as above, and so many bytes of room as said.
            load: |to, bytes| unsafe { bpf_skb_load_bytes(skb.cast(), 0, to, bytes) },
        };
        count(outcome, state, &seen, |packet| {
            // SAFETY: as above.
            segments(packet, unsafe { (*skb).gso_size })
        });
        TC_ACT_UNSPEC
    }

    /// Parses a frame to where it is counted from.
    #[inline(always)]
    fn parse(frame: Cursor<'_>, length: u32, state: &mut HookState) -> Result<(), NoFlow> {
        if constant(&DECAP) == 0 {
            return frame::parse_ethernet_into(frame, length, &mut state.packet);
        }
        tunnel::parse_ethernet_into(frame, length, &mut state.packet, &mut state.tunnels)
    }

    /// Whether a packet that is seen at `here` was counted where it arrived, at `arrived`; 0 where it began on this machine.
    #[inline(always)]
    fn is_counted(arrived: u32, here: u32) -> bool {
        // Opaque, so that the key is looked up where it was copied to: a helper takes no pointer into the context.
        let arrived = opaque_number(arrived);
        if arrived == 0 {
            return false;
        }
        // SAFETY: the agent writes the entry once.
        match unsafe { WATCHED_INTERFACES.get(&arrived) } {
            // This program may be the very one that counts what arrives.
            Some(seen_by) => *seen_by != SEEN_BY_TC || arrived != here,
            None => false,
        }
    }

    #[inline(always)]
    fn is_cut(outcome: Result<(), NoFlow>) -> bool {
        matches!(
            outcome,
            Err(NoFlow::Malformed(
                Malformed::LinkTruncated
                    | Malformed::IpTruncated
                    | Malformed::Ipv6Extensions
                    | Malformed::TransportTruncated
                    | Malformed::Arp
            ))
        )
    }

    /// What this CPU keeps for a hook and the epoch of `now`, with no packet in it.
    #[inline(always)]
    fn state(hook: Hook, now: TimeNs) -> Option<&'static mut HookState> {
        let state = HOOK_STATES.get_ptr_mut(hook_index(hook, epoch_of(now)))?;
        // SAFETY: the element of this CPU; no other program run touches it, because bottom halves are off.
        let state = unsafe { &mut *state };
        (state.packet.vlan, state.packet.inner_vlan) = (0, 0);
        Some(state)
    }

    /// The segments a super-packet becomes on the wire. Not by `gso_segs`, which is 0 where the packet came from a guest
    /// that did not say.
    #[inline(always)]
    fn segments(packet: &Packet, payload: u32) -> Segments {
        if payload == 0 || packet.payload_length <= payload {
            return Segments::ONE;
        }
        Segments {
            count: packet.payload_length.div_ceil(payload),
            payload,
        }
    }

    /// A frame, as far as the hook matters.
    struct Seen<I, N, L> {
        hook: Hook,
        now: TimeNs,
        /// Whether the packet was counted at another hook and is not to be counted here.
        again: bool,
        /// Index of the interface.
        interface: I,
        /// Length of the frame.
        length: N,
        /// Copies the frame's first bytes; not 0 where that fails.
        load: L,
    }

    #[inline(always)]
    fn count<I, N, L>(
        outcome: Result<(), NoFlow>,
        state: &mut HookState,
        seen: &Seen<I, N, L>,
        cut: impl Fn(&Packet) -> Segments,
    ) where
        I: Fn() -> u32,
        N: Fn() -> u32,
        L: Fn(*mut c_void, u32) -> i64,
    {
        let HookState {
            ledger,
            copied,
            copies_lost,
            packet,
            tunnels,
            ..
        } = state;
        match outcome {
            Ok(()) => {
                if constant(&COUNTING) == Counting::PerInterface as u8 {
                    packet.key.series = (seen.interface)() as u16;
                }
                // SAFETY: the very reference, of which the compiler no longer knows what was written to it.
                let packet = unsafe { &*opaque(packet) };
                let segments = cut(packet);
                ledger.seen += u64::from(segments.count);
                if seen.again {
                    ledger.counted_before += u64::from(segments.count);
                    return;
                }
                if constant(&DECAP) == 1 && tunnels.entered != 0 {
                    ledger.inside_tunnels += u64::from(segments.count);
                }
                match count_flow(packet, segments, seen.now, &seen.interface) {
                    Ok(first) => {
                        ledger.counted += u64::from(segments.count);
                        if constant(&EVIDENCE_BYTES) != 0 && (first || is_watched(&packet.key)) {
                            if copy(seen) {
                                *copied += 1;
                            } else {
                                *copies_lost += 1;
                            }
                        }
                    }
                    Err(error) => {
                        let headers = packet.ip_length - packet.payload_length;
                        let bytes = packet.ip_length + (segments.count - 1) * headers;
                        ledger.overflow_bytes += u64::from(bytes);
                        overflow(ledger, error, u64::from(segments.count));
                    }
                }
            }
            Err(_) if seen.again => {
                ledger.seen += 1;
                ledger.counted_before += 1;
            }
            Err(NoFlow::NotIp) => {
                ledger.seen += 1;
                ledger.not_ip += 1;
            }
            Err(NoFlow::Probe) => {
                ledger.seen += 1;
                ledger.probe += 1;
            }
            Err(NoFlow::Malformed(reason)) => {
                ledger.seen += 1;
                if let Some(counter) = ledger.malformed.get_mut(reason as usize) {
                    *counter += 1;
                }
            }
        }
    }

    /// Whether a packet of this flow is to be copied; counts it off.
    #[inline(always)]
    fn is_watched(key: &FlowKey) -> bool {
        let Some(left) = WATCH.get_ptr_mut(key) else {
            return false;
        };
        // SAFETY: an aligned value of a map. Other CPUs may count off at the same time, and one of the two be forgotten:
        // then a packet more is copied than was asked for.
        let left = unsafe { &mut *left };
        if *left <= 0 {
            return false;
        }
        *left -= 1;
        true
    }

    /// Copies the frame's beginning to the agent; false where the ring is full.
    #[inline(always)]
    fn copy<I, N, L>(seen: &Seen<I, N, L>) -> bool
    where
        I: Fn() -> u32,
        N: Fn() -> u32,
        L: Fn(*mut c_void, u32) -> i64,
    {
        let Some(scratch) = SCRATCH.get_ptr_mut(0) else {
            return false;
        };
        // SAFETY: the element of this CPU; no other program run touches it, because bottom halves are off.
        let scratch = unsafe { &mut *scratch };
        let length = (seen.length)();
        // Opaque, so that the bound stays a bound of the register that is used.
        let captured = opaque_number(length.min(constant(&EVIDENCE_BYTES)));
        if captured == 0 || captured > EVIDENCE_BYTES_MAX as u32 {
            return false;
        }
        scratch.header = EvidenceHeader {
            time: seen.now,
            interface: (seen.interface)(),
            hook: seen.hook as u32,
            frame_length: length,
            captured,
        };
        if (seen.load)((&raw mut scratch.bytes).cast(), captured) != 0 {
            return false;
        }
        let bytes = size_of::<EvidenceHeader>() + captured as usize;
        // SAFETY: the scratch is as long as the longest copy.
        let copy = unsafe { core::slice::from_raw_parts((&raw const *scratch).cast(), bytes) };
        EVIDENCE.output_untyped::<[u8]>(copy, 0).is_ok()
    }

    #[inline(always)]
    fn time(frame: Cursor<'_>) -> TimeNs {
        if constant(&CLOCK_FROM_FRAME) == 1 {
            return frame.u64(0).unwrap_or(0);
        }
        // SAFETY: the helper takes no argument and always succeeds.
        unsafe { bpf_ktime_get_ns() }.wrapping_add(constant(&CLOCK_OFFSET))
    }

    /// The parity of a time's epoch, as an epoch. By a jump, which the processor foretells for half a second at a time:
    /// the flow's entry is looked up without waiting for the clock, which takes longer to read than all the rest.
    #[inline(always)]
    fn parity(time: TimeNs) -> u64 {
        let mut parity = 0;
        // Opaque, or the verifier would follow either kind of time by itself.
        if opaque_number(epoch_of(time) as u32 & 1) != 0 {
            // Opaque, or the compiler would compute it.
            parity = opaque_number(1);
        }
        u64::from(parity)
    }

    /// Adds a packet to its flow; true if it is among the first that are copied.
    #[inline(always)]
    fn count_flow(
        packet: &Packet,
        segments: Segments,
        time: TimeNs,
        interface: &impl Fn() -> u32,
    ) -> Result<bool, Refused> {
        // SAFETY: the helper takes no argument and always succeeds.
        let cpu = unsafe { bpf_get_smp_processor_id() };
        let slot = table_index(cpu, parity(time));
        let slotted = FLOW_SLOTS.get(slot).ok_or(Refused::Missing)?;
        let place = Place {
            slot,
            // SAFETY: a valid reference, and any number is a table; volatile, because the agent changes it at any time.
            slotted: unsafe { (&raw const *slotted).cast::<Slotted>().read_volatile() },
            size: constant(&TABLE_SIZE),
        };
        let hash = table::hash(&packet.key, |at| constant(&TABLE_SECRETS[at]));
        let found = table::find_or_add(&Tables, place, &packet.key, hash, &EMPTY)?;
        // SAFETY: a table belongs to one CPU, on which programs do not interrupt each other, and the agent reads it
        // only after the kernel has waited for all of them.
        let counters = unsafe { &mut (*found.entry).counters };
        if found.added != 0 {
            counters.interface = interface();
            if found.added & constant(&BELL_MASK) == 0 {
                // A bell that is full of unheard rings need not ring.
                let _ = BELL.output(u64::from(found.added), u64::from(BPF_RB_FORCE_WAKEUP));
            }
        }
        account::add_segments(counters, packet, segments, time);
        let first = constant(&FIRST_PACKETS);
        Ok(first > 0 && counters.halves[0].packets + counters.halves[1].packets <= first)
    }

    /// The arrays the tables are made of.
    struct Tables;

    // SAFETY: elements of maps. Those of a CPU's tables are used by programs on that CPU, which do not interrupt each other.
    unsafe impl table::Memory for Tables {
        #[inline(always)]
        fn line(&self, at: u32) -> Option<*mut Line> {
            FLOW_INDEX.get_ptr_mut(at)
        }

        #[inline(always)]
        fn entry(&self, at: u32) -> Option<*mut Entry> {
            FLOWS.get_ptr_mut(at)
        }

        #[inline(always)]
        fn fill(&self, table: u32) -> Option<*mut Fill> {
            FLOW_FILLS.get_ptr_mut(table)
        }
    }

    #[inline(always)]
    fn overflow(ledger: &mut Ledger, why: Refused, packets: u64) {
        match why {
            Refused::Full => ledger.overflow_full += packets,
            Refused::Missing => ledger.overflow_other += packets,
        }
    }

    #[panic_handler]
    fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
        loop {}
    }

    #[unsafe(link_section = "license")]
    #[unsafe(no_mangle)]
    static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
}
