//! The C programs of this crate, compiled by clang on the machine that measures. Their text is part of this program, which so can
//! be moved away from where it was built.

use std::{
    error::Error,
    io::Write as _,
    process::{Command, Stdio},
};

/// A BPF program in C.
pub(crate) struct Source {
    name: &'static str,
    text: &'static str,
}

/// What the sensor's programs are measured against.
pub(crate) const MINIMAL: Source = Source {
    name: "minimal",
    text: include_str!("../c/minimal.bpf.c"),
};

/// The sender, and the empty programs at the other end.
pub(crate) const TRAFFIC: Source = Source {
    name: "traffic",
    text: include_str!("../c/traffic.bpf.c"),
};

impl Source {
    /// Compiles it and gives the object.
    pub(crate) fn compile(&self) -> Result<Vec<u8>, Box<dyn Error>> {
        let said = |error| {
            format!("clang: {error}; the programs in C cannot be compiled (apt-get install clang)")
        };
        let mut clang = Command::new("clang")
            .args(["-O2", "-g", "-target", "bpf", "-mcpu=v3", "-c"])
            .args(["-x", "c", "-", "-o", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(said)?;
        // It reads all before it writes anything; if it ends before, its status says more than the broken pipe.
        let mut input = clang.stdin.take().expect("a pipe");
        let _ = input.write_all(self.text.as_bytes());
        drop(input);
        let output = clang.wait_with_output().map_err(said)?;
        if !output.status.success() {
            return Err(format!("clang could not compile bench/c/{}.bpf.c", self.name).into());
        }
        Ok(output.stdout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_programs_are_in_the_objects() {
        if Command::new("clang").arg("--version").output().is_err() {
            eprintln!("not run: no clang");
            return;
        }
        for (source, programs) in [
            (MINIMAL, &["minimal_xdp", "timed_tc", "vary_tc"][..]),
            (TRAFFIC, &["send", "pass", "drop", "redirect"]),
        ] {
            let object = source.compile().expect("an object");
            assert!(object.starts_with(b"\x7fELF"));
            for name in programs {
                let symbol = format!("\0{name}\0");
                let is_in = |bytes: &[u8]| bytes == symbol.as_bytes();
                assert!(object.windows(symbol.len()).any(is_in), "{name}");
            }
        }
    }
}
