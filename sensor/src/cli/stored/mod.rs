//! `flows`, `hosts`, `top`: what the store knows of traffic.

mod flows;
mod hosts;
mod top;

use clap::Args;

pub(super) use self::{flows::run as flows, hosts::run as hosts, top::run as top};
use super::{
    args::{Common, Printed},
    sheet::{host, moment},
};
use crate::{
    score::HostMatch,
    sink::store::{FlowOrder, HostOrder, TopBy, TopOf},
};

#[derive(Args, Debug)]
#[command(
    after_help = "The store keeps flows as rare as store.flow_share (5 %) of ordinary traffic, all anomalous ones, and those to or from what is on a threat list (intel.lists).\n\n\
        Examples:\n  \
        anomaly-detect flows --incident 3f2a\n  \
        anomaly-detect flows --host 10.0.0.5 --since 24h --sort start\n  \
        anomaly-detect flows --listed --since 7d\n  \
        anomaly-detect flows --src 10.0.0.0/8 --port 445 --anomalous --format csv -o smb.csv"
)]
pub(super) struct StoredFlows {
    /// Of this incident: its id, or the beginning of it
    #[arg(long, value_name = "ID")]
    incident: Option<String>,
    /// From or to this host: an address or a prefix
    #[arg(long, value_name = "HOST", value_parser = host)]
    host: Option<HostMatch>,
    /// From this host
    #[arg(long, value_name = "HOST", value_parser = host)]
    src: Option<HostMatch>,
    /// To this host
    #[arg(long, value_name = "HOST", value_parser = host)]
    dst: Option<HostMatch>,
    /// To this port
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Of this protocol: tcp, udp, icmp, arp, or a number
    #[arg(long, value_name = "PROTOCOL", value_parser = protocol)]
    protocol: Option<u16>,
    /// Part of incidents of this kind
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Of this id (16 hexadecimal digits, or Zeek's uid)
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Of this Community ID
    #[arg(long, value_name = "ID")]
    community_id: Option<String>,
    /// Only those that are anomalous
    #[arg(long)]
    anomalous: bool,
    /// Only those to or from what is on a threat list
    #[arg(long)]
    listed: bool,
    /// Begun since: so long ago (2h, 7d), a date, or a time in UTC
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<u64>,
    /// Begun before
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<u64>,
    /// Order
    #[arg(long, value_enum, value_name = "ORDER", default_value = "p-value")]
    sort: FlowOrder,
    /// Flows at most
    #[arg(long, value_name = "NUMBER", default_value_t = 50)]
    limit: u32,
    #[command(flatten)]
    printed: Printed,
    #[command(flatten)]
    common: Common,
}

fn protocol(text: &str) -> Result<u16, String> {
    crate::flow::protocol_number(text)
        .ok_or_else(|| "a protocol's name (tcp, udp, icmp, arp) or number".to_owned())
}

#[derive(Args, Debug)]
#[command(
    after_help = "A host is known once it took part in a conversation; addresses that were merely asked are not.\n\n\
        Examples:\n  \
        anomaly-detect hosts --sort risk\n  \
        anomaly-detect hosts 10.0.0.5              its profile, with what is usual for it\n  \
        anomaly-detect hosts 10.0.0.0/24 --format csv -o hosts.csv"
)]
pub(super) struct Hosts {
    /// One address for its profile, or a prefix
    #[arg(value_name = "HOST", value_parser = host)]
    host: Option<HostMatch>,
    /// With a packet since: so long ago (2h, 7d), a date, or a time in UTC
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<u64>,
    /// Order
    #[arg(long, value_enum, value_name = "ORDER", default_value = "bytes")]
    sort: HostOrder,
    /// Hosts at most
    #[arg(long, value_name = "NUMBER", default_value_t = 50)]
    limit: u32,
    #[command(flatten)]
    printed: Printed,
    #[command(flatten)]
    common: Common,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Counts all traffic, not only the flows that are kept. Time counts in whole hours.\n\n\
        Examples:\n  \
        anomaly-detect top\n  \
        anomaly-detect top services --since 24h\n  \
        anomaly-detect top pairs --by anomalous --format json"
)]
pub(super) struct TopArgs {
    /// What to rank
    #[arg(value_enum, value_name = "WHAT", default_value = "hosts")]
    what: TopOf,
    /// By what
    #[arg(long, value_enum, value_name = "MEASURE", default_value = "bytes")]
    by: TopBy,
    /// Since: so long ago (2h, 7d), a date, or a time in UTC
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<u64>,
    /// Rows at most
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    limit: u32,
    #[command(flatten)]
    printed: Printed,
    #[command(flatten)]
    common: Common,
}
