//! Offloads that hide what came over the wire, switched off for as long as somebody watches.

use super::ethtool::{Flag, Interface};

/// What hides packets, with the word for it.
pub(super) const HARMFUL: [(Flag, &str, &str); 2] = [
    (Flag::VlanStripping, "VLAN stripping", "rxvlan"),
    (Flag::LargeReceive, "large receive offload", "lro"),
];

/// Offloads that were switched off. Dropping this switches them on again; a process that is killed cannot.
#[derive(Default)]
pub(in crate::cli) struct Fixed {
    switched: Vec<(String, Flag, &'static str)>,
}

impl Fixed {
    /// Switches off what is on and can be switched; says what it did, and what it could not do.
    pub(in crate::cli) fn apply(interfaces: &[String]) -> (Self, Vec<String>) {
        let (mut fixed, mut notes) = (Self::default(), Vec::new());
        for name in interfaces {
            let Ok(interface) = Interface::open(name) else {
                continue;
            };
            for (flag, word, _) in HARMFUL {
                if !interface.is_on(flag).unwrap_or(false) {
                    continue;
                }
                match interface.switch(flag, false) {
                    Ok(()) => {
                        notes.push(format!("{name}: {word} switched off until the end"));
                        fixed.switched.push((name.clone(), flag, word));
                    }
                    Err(error) => notes.push(format!("{name}: {word} stays on: {error}")),
                }
            }
        }
        (fixed, notes)
    }

    /// Whether there is something to put back.
    pub(in crate::cli) fn is_empty(&self) -> bool {
        self.switched.is_empty()
    }
}

impl Drop for Fixed {
    fn drop(&mut self) {
        for (name, flag, word) in self.switched.drain(..).rev() {
            let restored =
                Interface::open(&name).and_then(|interface| interface.switch(flag, true));
            if let Err(error) = restored {
                eprintln!("warning: {name}: {word} could not be switched on again: {error}");
            }
        }
    }
}
