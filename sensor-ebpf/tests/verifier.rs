//! Gate C, first part: the kernel's verifier takes the committed object with every combination of its load-time constants.
//! What the programs do with frames is tested where the frames are: `sensor/tests/kernel_capture`.
//!
//! As root: `cargo test -p sensor-ebpf --test verifier -- --ignored`.
#![cfg(target_os = "linux")]

use aya::{
    Ebpf, EbpfLoader,
    programs::{SchedClassifier, Xdp},
};
use sensor_ebpf::{
    maps::{self, Counting},
    table::Size,
};

/// The kernel gives up at a million (`BPF_COMPLEXITY_LIMIT_INSNS`); older ones count less kindly.
const INSTRUCTIONS_MAX: u32 = 800_000;

/// What the agent decides when it loads the programs.
#[derive(Clone, Copy, Debug)]
struct Constants {
    clock_from_frame: bool,
    decap: bool,
    counting: Counting,
    evidence_bytes: u32,
    first_packets: u64,
}

/// Every combination of those that decide about branches; looking inside of tunnels, which takes the verifier a second or
/// two, with one source of time.
fn combinations() -> Vec<Constants> {
    let mut all = Vec::new();
    for counting in [Counting::FirstHook, Counting::Both, Counting::PerInterface] {
        for (evidence_bytes, first_packets) in [(0, 0), (256, 0), (2048, 3)] {
            for (decap, clock_from_frame) in [(false, false), (false, true), (true, false)] {
                all.push(Constants {
                    clock_from_frame,
                    decap,
                    counting,
                    evidence_bytes,
                    first_packets,
                });
            }
        }
    }
    all
}

fn load(constants: Constants) -> Ebpf {
    EbpfLoader::new()
        .override_global(
            maps::TABLE_SIZE,
            &Size::of(maps::FLOWS_PER_TABLE as u32),
            true,
        )
        .override_global(
            maps::CLOCK_FROM_FRAME,
            &u8::from(constants.clock_from_frame),
            true,
        )
        .override_global(maps::DECAP, &u8::from(constants.decap), true)
        .override_global(maps::COUNTING, &(constants.counting as u8), true)
        .override_global(maps::EVIDENCE_BYTES, &constants.evidence_bytes, true)
        .override_global(maps::FIRST_PACKETS, &constants.first_packets, true)
        .load(sensor_ebpf::OBJECT)
        .expect("maps")
}

#[test]
#[ignore = "kernel: needs root"]
fn the_verifier_takes_every_combination_of_constants() {
    let mut most = 0;
    for constants in combinations() {
        let mut object = load(constants);
        for (name, program) in object.programs_mut() {
            let result = match name {
                maps::PROGRAM_EGRESS => <&mut SchedClassifier>::try_from(&mut *program)
                    .expect("kind")
                    .load(),
                _ => <&mut Xdp>::try_from(&mut *program).expect("kind").load(),
            };
            if let Err(error) = result {
                let text = format!("{error:?}");

                panic!(
                    "{name} with {constants:?}: {}",
                    &text[text.len().saturating_sub(2000)..]
                );
            }
            let count = program
                .info()
                .ok()
                .and_then(|info| info.verified_instruction_count())
                .unwrap_or(0);
            println!("{count:>8} {name} {constants:?}");
            assert!(
                count < INSTRUCTIONS_MAX,
                "{name} with {constants:?}: {count}"
            );
            most = most.max(count);
        }
    }
    assert!(most > 0, "no program was verified");
}
