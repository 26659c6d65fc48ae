//! Interfaces: what the driver does to packets before the sensor sees them, who else is at the hook, and whether the programs run.

use super::{
    Check,
    ethtool::{Flag, Interface},
    fix::HARMFUL,
    hooks,
};
use crate::capture::xdp::{self, Proved, Settings, Xdp};

/// Largest packet of a frame that native XDP takes in one page (4096 bytes less headroom and what the kernel keeps behind).
const ONE_PAGE_MTU: i32 = 3506;

pub(super) fn checks(wanted: &[String]) -> Vec<Check> {
    if wanted.is_empty() {
        let known = known();
        let finding = match known.is_empty() {
            true => "none seen".to_owned(),
            false => format!("{}; choose with --iface", known.join(", ")),
        };
        return vec![Check::good("interfaces", finding)];
    }
    wanted.iter().flat_map(|name| interface(name)).collect()
}

fn known() -> Vec<String> {
    let text = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap_or_default();
    text.lines()
        .filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned()))
        .collect()
}

fn interface(name: &str) -> Vec<Check> {
    let title = |what: &str| format!("{name}: {what}");
    let index = match xdp::interface_index(name) {
        Ok(index) => index,
        Err(error) => {
            return vec![Check::bad(
                &format!("interface {name}"),
                error.to_string(),
                "name one that exists with --iface",
            )];
        }
    };
    let Ok(device) = Interface::open(name) else {
        return vec![Check::limited(
            &format!("interface {name}"),
            "cannot be asked",
            "run as root",
        )];
    };
    let mut checks = vec![state(&format!("interface {name}"), name, &device)];
    checks.extend(device.mtu().ok().map(|mtu| packet_size(&title("MTU"), mtu)));
    checks.extend(queues(&title("queues"), name, &device));
    checks.extend(offloads(name, &device));
    let occupied = hooks::find(index).unwrap_or_default();
    checks.push(programs(&title("programs"), name, occupied));
    checks.push(self_test(&title("self-test"), name, occupied.xdp != 0));
    checks
}

fn state(title: &str, name: &str, device: &Interface) -> Check {
    let driver = device.driver().unwrap_or_else(|_| "unknown".to_owned());
    match device.state() {
        Ok((false, _)) => Check::limited(
            title,
            format!("down, driver {driver}"),
            format!("ip link set {name} up"),
        ),
        Ok((true, false)) => Check::limited(
            title,
            format!("up without a link, driver {driver}"),
            "look at the cable, or at the other end",
        ),
        _ => Check::good(title, format!("up, driver {driver}")),
    }
}

fn packet_size(title: &str, mtu: i32) -> Check {
    if mtu > ONE_PAGE_MTU {
        Check::limited(
            title,
            format!(
                "{mtu}: many drivers refuse native XDP above {ONE_PAGE_MTU}, generic XDP is slower"
            ),
            "see `self-test`; a smaller MTU if the network allows",
        )
    } else {
        Check::good(title, mtu.to_string())
    }
}

fn queues(title: &str, name: &str, device: &Interface) -> Option<Check> {
    let channels = device.channels().ok()?;
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as u32;
    let (now, most) = (channels.now, channels.most);
    if now < most.min(processors) {
        return Some(Check::limited(
            title,
            format!("{now} receive queues, {most} possible, {processors} processors"),
            format!("ethtool -L {name} combined {}", most.min(processors)),
        ));
    }
    // Each CPU has a table of its own and parts are merged: symmetry saves work and is not needed.
    let symmetry = match (now, device.is_symmetric()) {
        (0 | 1, _) => "",
        (_, Some(true)) => ", both directions of a connection in one",
        (_, Some(false)) => ", the directions of a connection in different ones (merged exactly)",
        (_, None) => ", the driver does not tell how it chooses",
    };
    Some(Check::good(
        title,
        format!("{now} receive queues{symmetry}"),
    ))
}

fn offloads(name: &str, device: &Interface) -> Vec<Check> {
    let mut checks = Vec::new();
    for (flag, word, option) in HARMFUL {
        let title = format!("{name}: {word}");
        let Ok(on) = device.is_on(flag) else {
            continue;
        };
        checks.push(if on {
            let harm = match flag {
                Flag::VlanStripping => "on: tags of VLANs are taken off before XDP sees them",
                Flag::LargeReceive => {
                    "on: packets are joined before they are counted, and drivers refuse XDP"
                }
            };
            Check::limited(
                &title,
                harm,
                format!("ethtool -K {name} {option} off, or --fix while the sensor runs"),
            )
        } else {
            Check::good(&title, "off")
        });
    }
    if let Ok(joins) = device.joins_segments() {
        let finding = if joins {
            "on: behind XDP, does no harm"
        } else {
            "off"
        };
        checks.push(Check::good(
            &format!("{name}: generic receive offload"),
            finding,
        ));
    }
    checks
}

fn programs(title: &str, name: &str, found: hooks::Hooks) -> Check {
    if found.xdp != 0 {
        return Check::limited(
            title,
            format!("XDP program {} has the hook, and is left alone", found.xdp),
            format!("if it is not needed: ip link set {name} xdp off"),
        );
    }
    match found.tcx_egress {
        0 => Check::good(title, "none of others"),
        count => Check::good(
            title,
            format!("{count} on TCX egress; the sensor goes before them and lets all pass"),
        ),
    }
}

/// Attaches the programs for a moment and looks whether they run.
fn self_test(title: &str, name: &str, is_occupied: bool) -> Check {
    if is_occupied {
        return Check::limited(title, "not made: the hook is taken", "see `programs`");
    }
    let settings = Settings {
        flows_per_table: 1024,
        ..Settings::on([name])
    };
    let capture = match Xdp::start(&settings) {
        Ok(capture) => capture,
        Err(error) => {
            return Check::bad(
                title,
                error.to_string(),
                "the first line that is not ok says why; else capture with --capture libpcap",
            );
        }
    };
    let modes = capture
        .attached()
        .first()
        .map(|attached| format!("{}, egress {}", attached.ingress, attached.egress))
        .unwrap_or_default();
    let Some(proof) = capture.proofs().first() else {
        return Check::good(title, modes);
    };
    let finding = format!(
        "arriving: {} ({modes}); leaving: {}",
        proof.ingress, proof.egress
    );
    if [proof.ingress, proof.egress].contains(&Proved::DoesNotRun) {
        Check::bad(
            title,
            finding,
            "please report this, with the driver and the kernel",
        )
    } else {
        Check::good(title, finding)
    }
}
