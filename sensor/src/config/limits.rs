//! Section `limits`: how much memory the program may take, as one number. Capacities that nobody set follow from it.

use super::{ConfigError, Layers, Origin};

/// Bytes of a live flow at most: its place in the table and in the index, its record and its row of features when all end
/// at once. Measured, see docs/sizing.md.
const FLOW_BYTES: u64 = 1200;
/// Bytes of a flow of the epoch that is being counted: key and counters as they were read early, again in their order, and
/// what that is found by.
const EPOCH_FLOW_BYTES: u64 = 640;
/// Flows of one epoch at most where no memory is named.
const EPOCH_FLOWS: u32 = 1 << 20;
/// And where one is, in quarters of the flows that may live. So 1 GiB holds what a flood of a million new flows a second brings in an
/// epoch, beside the kernel's tables.
const EPOCH_QUARTERS: u64 = 9;
/// Bytes of a host in both roles.
const HOST_BYTES: u64 = 2048;
/// Bytes of a conversation.
const CONVERSATION_BYTES: u64 = 192;
/// Bytes of all else: the program, the model and the training of the next one, queues of sinks, the store's cache. What
/// copied packets may take (`evidence.memory_bytes`) comes on top.
const FIXED_BYTES: u64 = 128 << 20;
/// Part of the memory that the kernel's flow tables may take, which the agent has in its own ([`Limits::table_bytes`]). Whether there are any
/// and for how many CPUs is not asked here: what follows for the other tables decides which flows are seen, and that is to be the same on
/// every machine, in a replay too.
const TABLE_SHARE: u64 = 8;
/// Flows, hosts and conversations are in this proportion where they follow from the memory: that of the defaults.
const SHARES: [u64; 3] = [4, 1, 2];
/// Fewer hosts than this are of no use, nor the flows and conversations that go with them.
const LEAST_HOSTS: u64 = 1024;

/// Bounds of what is remembered of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Memory of the program at most, bytes resident; nothing where the capacities alone say.
    pub memory_bytes: Option<u64>,
    /// Flows that may live at once.
    pub flows: u32,
    /// Hosts remembered in each role.
    pub hosts: u32,
    /// Conversations remembered.
    pub conversations: u32,
    /// Flows counted in one epoch; packets of further ones go to the overflow counters.
    pub epoch_flows: u32,
    /// Bytes that the kernel's flow tables may take, of all CPUs; nothing where no memory is named.
    pub table_bytes: Option<u64>,
}

impl Limits {
    /// Checks the merged layers.
    ///
    /// # Errors
    /// The first value that is not what its key wants; a memory that what was set does not fit into.
    pub(super) fn from_layers(layers: &Layers) -> Result<Self, ConfigError> {
        let memory = layers.integer("limits.memory", 0, 1 << 50)? as u64;
        let copies = layers.integer("evidence.memory_bytes", 0, 1 << 40)? as u64;
        // Without a memory to keep to, an epoch has its own bound.
        let flow_bytes = FLOW_BYTES + EPOCH_QUARTERS * EPOCH_FLOW_BYTES / 4;
        let capacities = [
            ("flow.capacity", 1 << 28, flow_bytes),
            ("context.hosts", 1 << 26, HOST_BYTES),
            ("context.conversations", 1 << 26, CONVERSATION_BYTES),
        ];
        let tables = memory / TABLE_SHARE;
        let room = memory - tables;
        let mut taken = FIXED_BYTES + copies;
        // Bytes of one host and of what goes with it, of those capacities that follow.
        let mut together = 0;
        let mut numbers = [None; 3];
        for (at, (key, most, bytes)) in capacities.into_iter().enumerate() {
            let number = layers.integer(key, 1, most)? as u64;
            if memory == 0 || *layers.origin(key) != Origin::Default {
                numbers[at] = Some(number);
                taken += number * bytes;
            } else {
                together += SHARES[at] * bytes;
            }
        }
        let hosts = room
            .saturating_sub(taken)
            .checked_div(together)
            .unwrap_or(0);
        if memory > 0 && (taken > room || together > 0 && hosts < LEAST_HOSTS) {
            let needed = (taken + LEAST_HOSTS * together) * TABLE_SHARE / (TABLE_SHARE - 1) + 1;
            return layers.refused(
                "limits.memory",
                format!(
                    "too little: at least {} are needed with the other keys as they are",
                    mebibytes(needed)
                ),
            );
        }
        let number = |at: usize| {
            let (_, most, _) = capacities[at];
            numbers[at].unwrap_or((hosts * SHARES[at]).min(most as u64)) as u32
        };
        let flows = number(0);
        let epoch_flows = match memory {
            0 => EPOCH_FLOWS,
            _ => (u64::from(flows) * EPOCH_QUARTERS / 4).min(1 << 30) as u32,
        };
        Ok(Self {
            memory_bytes: (memory > 0).then_some(memory),
            flows,
            hosts: number(1),
            conversations: number(2),
            epoch_flows,
            table_bytes: (memory > 0).then_some(tables),
        })
    }
}

/// As the key is written: `200Mi`.
fn mebibytes(bytes: u64) -> String {
    format!("{}Mi", bytes.div_ceil(1 << 20))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::Config;

    fn limits(settings: &[(&str, &str)]) -> Result<Limits, String> {
        let mut layers = Layers::default();
        for (key, value) in settings {
            layers
                .flag(key, value, "--set")
                .expect("a key that there is");
        }
        Config::from_layers(&layers)
            .map(|config| config.limits)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn without_a_memory_the_capacities_say() {
        let limits = limits(&[("flow.capacity", "5000")]).expect("valid");
        assert_eq!((limits.memory_bytes, limits.table_bytes), (None, None));
        assert_eq!(
            [limits.flows, limits.hosts, limits.conversations],
            [5000, 1 << 16, 1 << 17]
        );
    }

    #[test]
    fn too_little_is_refused_with_what_would_do() {
        let error = limits(&[("limits.memory", "100Mi")]).expect_err("too little");
        let needed = error
            .rsplit_once("at least ")
            .and_then(|(_, rest)| rest.split_once(" are"))
            .expect("a number")
            .0;
        assert!(limits(&[("limits.memory", needed)]).is_ok(), "{error}");
        let error = limits(&[("limits.memory", "256Mi"), ("flow.capacity", "1M")]);
        assert!(error.expect_err("too little").contains("limits.memory"));
    }

    proptest! {
        /// What follows from a memory fits into it, uses it, and leaves alone what was set.
        #[test]
        fn capacities_fit_into_the_memory(mebibytes in 180_u64..65_536, conversations in prop::option::of(1_u32..100_000)) {
            let memory = format!("{mebibytes}Mi");
            let set = conversations.map(|number| number.to_string());
            let mut settings = vec![("limits.memory", memory.as_str())];
            settings.extend(set.as_deref().map(|number| ("context.conversations", number)));
            let limits = limits(&settings);
            prop_assume!(limits.is_ok());
            let limits = limits.expect("valid");
            let used = FIXED_BYTES
                + 16_000_000
                + u64::from(limits.flows) * FLOW_BYTES
                + u64::from(limits.epoch_flows) * EPOCH_FLOW_BYTES
                + u64::from(limits.hosts) * HOST_BYTES
                + u64::from(limits.conversations) * CONVERSATION_BYTES
                + limits.table_bytes.expect("a memory was named");
            let memory = mebibytes << 20;
            prop_assert!(used <= memory);
            prop_assert!(used + (1 << 20) > memory);
            if let Some(number) = conversations {
                prop_assert_eq!(limits.conversations, number);
            }
        }
    }
}
