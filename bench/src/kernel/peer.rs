//! Programs of others: loaded as their object says, beside ours, and looked at whether they counted at all.
//!
//! Of the object only the program that is named goes to the kernel. Its maps are made as it declares them, its constants
//! have the values it was compiled with; `--peer-map` and `--peer-set` are for what its own agent would set.

use std::{
    error::Error,
    ffi::CStr,
    fmt, fs, io,
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    ptr,
    str::FromStr,
};

use aya::{Ebpf, EbpfLoader, maps::Map};

use super::sys;

/// A program of somebody else's.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    object: PathBuf,
    pub(super) program: String,
}

impl FromStr for Peer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.rsplit_once(':') {
            Some((object, program)) if !object.is_empty() && !program.is_empty() => Ok(Self {
                object: object.into(),
                program: program.to_owned(),
            }),
            _ => Err("expected OBJECT:PROGRAM".to_owned()),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.object.file_name().unwrap_or_default();
        write!(f, "{}:{}", file.display(), self.program)
    }
}

/// A constant of peers, and its value as it lies in memory.
#[derive(Clone, Debug)]
pub(super) struct Constant {
    name: String,
    bytes: Vec<u8>,
}

impl FromStr for Constant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "expected NAME=VALUE, the value with its type: sampling=1u32".to_owned();
        let (name, value) = text.split_once('=').ok_or_else(wrong)?;
        let at = value.find('u').ok_or_else(wrong)?;
        let (digits, kind) = value.split_at(at);
        let number: u64 = digits.parse().map_err(|_| wrong())?;
        let bytes = match kind {
            "u8" => 1,
            "u16" => 2,
            "u32" => 4,
            "u64" => 8,
            _ => return Err(wrong()),
        };
        if bytes < 8 && number >> (8 * bytes) != 0 {
            return Err(format!("{digits} is more than a {kind} holds"));
        }
        // The machine's own order, of which BPF has no other.
        let bytes = if cfg!(target_endian = "little") {
            number.to_le_bytes()[..bytes].to_vec()
        } else {
            number.to_be_bytes()[8 - bytes..].to_vec()
        };
        Ok(Self {
            name: name.to_owned(),
            bytes,
        })
    }
}

/// A map of peers, and how many entries it has room for.
#[derive(Clone, Debug)]
pub(super) struct MapSize {
    name: String,
    entries: u32,
}

impl FromStr for MapSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text
            .split_once('=')
            .and_then(|(name, entries)| Some((name.to_owned(), entries.parse().ok()?)));
        let (name, entries) = parsed.ok_or("expected NAME=ENTRIES")?;
        Ok(Self { name, entries })
    }
}

/// Makes the maps of a peer.
pub(super) fn load(
    peer: &Peer,
    constants: &[Constant],
    sizes: &[MapSize],
) -> Result<Ebpf, Box<dyn Error>> {
    let mut loader = EbpfLoader::new();
    for constant in constants {
        loader.override_global(&constant.name, constant.bytes.as_slice(), true);
    }
    for size in sizes {
        loader.map_max_entries(&size.name, size.entries);
    }
    loader
        .load_file(&peer.object)
        .map_err(|error| format!("{}: {error}", peer.object.display()).into())
}

/// Gives this thread a BPF file system of its own, in a mount namespace of its own: objects whose maps are to be pinned can
/// be loaded, and whatever they leave there goes with the thread.
pub(super) fn own_pins() -> io::Result<()> {
    const PINS: &CStr = c"/sys/fs/bpf";
    let done = |result: libc::c_int| match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    };
    // SAFETY: no pointers.
    done(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
    // SAFETY: terminated strings; the kernel takes null for what it does not look at.
    done(unsafe {
        libc::mount(
            ptr::null(),
            c"/".as_ptr(),
            ptr::null(),
            libc::MS_REC | libc::MS_PRIVATE,
            ptr::null(),
        )
    })?;
    if !Path::new("/sys/fs/bpf").is_dir() {
        fs::create_dir("/sys/fs/bpf")?;
    }
    // SAFETY: as above.
    done(unsafe {
        libc::mount(
            c"bpf".as_ptr(),
            PINS.as_ptr(),
            c"bpf".as_ptr(),
            0,
            ptr::null(),
        )
    })
}

/// The maps in which a peer keeps as many keys as there were flows, or more: where it counts. Empty if there is none, and
/// then what was measured is not a flow counter at work.
pub(super) fn counting(object: &Ebpf, flows: u32) -> Result<Vec<(String, u64)>, Box<dyn Error>> {
    let mut found = Vec::new();
    for (name, map) in object.maps() {
        let (Map::HashMap(data)
        | Map::LruHashMap(data)
        | Map::PerCpuHashMap(data)
        | Map::PerCpuLruHashMap(data)) = map
        else {
            continue;
        };
        let keys = sys::count_keys(
            data.fd().as_fd(),
            data.info()?.key_size(),
            u64::from(flows) * 2,
        )?;
        if keys >= u64::from(flows) {
            found.push((name.to_owned(), keys));
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_has_its_type() {
        let constant: Constant = "sampling=258u32".parse().expect("valid");
        assert_eq!(constant.bytes, 258_u32.to_ne_bytes());
        for wrong in ["sampling", "sampling=1", "sampling=256u8", "sampling=xu8"] {
            assert!(wrong.parse::<Constant>().is_err(), "{wrong}");
        }
    }
}
