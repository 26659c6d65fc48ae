//! What a host's log says around one flow.

use std::mem::size_of;

/// Numbers about the process; those behind are counts of what went on around.
const PROCESS_COUNT: usize = 5;

macro_rules! view {
    ($($(#[$about:meta])* $name:ident,)*) => {
        /// What logs say of a flow and of its two hosts; NaN where no log speaks of it.
        #[repr(C)]
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub struct View {
            $($(#[$about])* pub $name: f32,)*
        }

        impl View {
            /// Numbers in it.
            pub const COUNT: usize = size_of::<Self>() / size_of::<f32>();
            /// Nothing is known.
            pub const UNKNOWN: Self = Self { $($name: f32::NAN,)* };
            /// Names of the numbers, in their order.
            pub const NAMES: [&'static str; Self::COUNT] = [$(concat!("log_", stringify!($name)),)*];

            /// The numbers, in the order of [`Self::NAMES`].
            pub const fn values(&self) -> [f32; Self::COUNT] {
                [$(self.$name,)*]
            }

            /// Whether a log names the process, or anything that one of the hosts did or had done to it.
            pub fn says_something(&self) -> bool {
                let around = &self.values()[PROCESS_COUNT..];
                self.process_known == 1.0 || around.iter().any(|count| *count > 0.0)
            }
        }
    };
}

view! {
    /// 1 if the log names the process behind the flow (5156), 0 if it does not though it names others of the host.
    process_known,
    /// Connections by that program on that host, all of the log.
    process_connections,
    /// Minus the natural logarithm of the program's share of the host's connections.
    process_surprise,
    /// Connections by that program on that host to this port.
    process_port_connections,
    /// Hosts on which the log knows that program to connect.
    process_hosts,
    /// Refused logons from the originator's address, 10 min.
    src_refused_600s,
    /// Distinct accounts among them.
    src_accounts_600s,
    /// Logons from the originator's address, 10 min.
    src_logons_600s,
    /// Share and pipe accesses from the originator's address, 10 min.
    src_shares_600s,
    /// Programs started on the originator, 10 min.
    src_processes_600s,
    /// Logons with credentials given by hand (4648) on the originator, 10 min.
    src_explicit_600s,
    /// Refused logons at the responder, 10 min.
    dst_refused_600s,
    /// Logons at the responder, 10 min.
    dst_logons_600s,
    /// Programs started on the responder, 10 min.
    dst_processes_600s,
    /// Services installed on the responder, 10 min.
    dst_services_600s,
}
