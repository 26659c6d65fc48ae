//! What a driver says of an interface (`SIOCETHTOOL`, linux/ethtool.h), in the network namespace of the calling thread.

use std::{
    io, mem,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

const SIOCETHTOOL: libc::Ioctl = 0x8946;
const GET_DRIVER: u32 = 0x03;
const GET_FLAGS: u32 = 0x25;
const SET_FLAGS: u32 = 0x26;
const GET_GRO: u32 = 0x2b;
const GET_CHANNELS: u32 = 0x3c;
const GET_HASH: u32 = 0x46;

/// Offloads among the legacy flags (`ETH_FLAG_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Flag {
    /// The tag of a frame is taken off before XDP sees it.
    VlanStripping = 1 << 8,
    /// Segments are joined in the driver, which is not how they came.
    LargeReceive = 1 << 15,
}

/// Queues of an interface.
#[derive(Clone, Copy, Debug)]
pub(super) struct Channels {
    pub(super) now: u32,
    pub(super) most: u32,
}

/// An interface to ask about.
pub(in crate::cli) struct Interface {
    socket: OwnedFd,
    name: [libc::c_char; libc::IFNAMSIZ],
}

impl Interface {
    /// Nothing is asked yet, not even whether it exists.
    pub(in crate::cli) fn open(name: &str) -> io::Result<Self> {
        // SAFETY: plain numbers; the result is checked.
        let socket =
            unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
        if socket < 0 {
            return Err(io::Error::last_os_error());
        }
        let mut bytes = [0; libc::IFNAMSIZ];
        for (to, from) in bytes.iter_mut().zip(name.bytes().take(libc::IFNAMSIZ - 1)) {
            *to = from as libc::c_char;
        }
        Ok(Self {
            // SAFETY: a file descriptor the kernel has just made for us.
            socket: unsafe { OwnedFd::from_raw_fd(socket) },
            name: bytes,
        })
    }

    fn request(&self) -> libc::ifreq {
        // SAFETY: all zeroes is a valid request.
        let mut request: libc::ifreq = unsafe { mem::zeroed() };
        request.ifr_name = self.name;
        request
    }

    fn ioctl(&self, number: libc::Ioctl, request: &mut libc::ifreq) -> io::Result<()> {
        // SAFETY: the request is valid, and so is what it points to by the callers' construction.
        let result =
            unsafe { libc::ioctl(self.socket.as_raw_fd(), number, std::ptr::from_mut(request)) };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    /// Hands a structure over that begins with its command. Its length is that of the command's structure in
    /// linux/ethtool.h, or more.
    fn ask(&self, words: &mut [u32]) -> io::Result<()> {
        let mut request = self.request();
        request.ifr_ifru.ifru_data = words.as_mut_ptr().cast();
        self.ioctl(SIOCETHTOOL, &mut request)
    }

    /// Name of the driver.
    pub(super) fn driver(&self) -> io::Result<String> {
        // `struct ethtool_drvinfo`: 196 bytes, the driver's name behind the command.
        let mut words = [0_u32; 64];
        words[0] = GET_DRIVER;
        self.ask(&mut words)?;
        let bytes = words[1..9].iter().flat_map(|word| word.to_ne_bytes());
        let name: Vec<u8> = bytes.take_while(|byte| *byte != 0).collect();
        Ok(String::from_utf8_lossy(&name).into_owned())
    }

    /// Largest IP packet.
    pub(super) fn mtu(&self) -> io::Result<i32> {
        let mut request = self.request();
        self.ioctl(libc::SIOCGIFMTU as libc::Ioctl, &mut request)?;
        // SAFETY: this call fills in this member.
        Ok(unsafe { request.ifr_ifru.ifru_mtu })
    }

    /// Whether it is up, and whether its link is.
    pub(super) fn state(&self) -> io::Result<(bool, bool)> {
        let mut request = self.request();
        self.ioctl(libc::SIOCGIFFLAGS as libc::Ioctl, &mut request)?;
        // SAFETY: this call fills in this member.
        let flags = i32::from(unsafe { request.ifr_ifru.ifru_flags });
        Ok((flags & libc::IFF_UP != 0, flags & libc::IFF_RUNNING != 0))
    }

    fn flags(&self) -> io::Result<u32> {
        let mut words = [GET_FLAGS, 0];
        self.ask(&mut words)?;
        Ok(words[1])
    }

    /// Whether an offload is on.
    pub(in crate::cli) fn is_on(&self, flag: Flag) -> io::Result<bool> {
        Ok(self.flags()? & flag as u32 != 0)
    }

    /// Switches an offload.
    pub(in crate::cli) fn switch(&self, flag: Flag, on: bool) -> io::Result<()> {
        let flags = self.flags()?;
        let wanted = if on {
            flags | flag as u32
        } else {
            flags & !(flag as u32)
        };
        self.ask(&mut [SET_FLAGS, wanted])?;
        // A driver may take the call and leave the offload as it is, fixed.
        if self.is_on(flag)? == on {
            Ok(())
        } else {
            Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP))
        }
    }

    /// Whether the stack joins segments before sockets see them: after XDP, so it does no harm.
    pub(super) fn joins_segments(&self) -> io::Result<bool> {
        let mut words = [GET_GRO, 0];
        self.ask(&mut words)?;
        Ok(words[1] != 0)
    }

    /// Receive queues.
    pub(super) fn channels(&self) -> io::Result<Channels> {
        // `struct ethtool_channels`: command; most rx, tx, other, combined; now rx, tx, other, combined.
        let mut words = [0_u32; 9];
        words[0] = GET_CHANNELS;
        self.ask(&mut words)?;
        Ok(Channels {
            now: words[5] + words[8],
            most: words[1] + words[4],
        })
    }

    /// Whether both directions of a connection come by the same queue; `None` where the driver does not say.
    pub(super) fn is_symmetric(&self) -> Option<bool> {
        const TOEPLITZ: u8 = 1;
        // `struct ethtool_rxfh`: command, context, indirection size, key size, function and transformation, reserved.
        let mut head = [GET_HASH, 0, 0, 0, 0, 0];
        self.ask(&mut head).ok()?;
        let (table, key) = (head[2] as usize, head[3] as usize);
        let mut words = vec![0_u32; 6 + table + key.div_ceil(4)];
        words[..4].copy_from_slice(&[GET_HASH, 0, table as u32, key as u32]);
        self.ask(&mut words).ok()?;
        let [function, transformation, ..] = words[4].to_ne_bytes();
        if transformation != 0 {
            return Some(true);
        }
        let bytes: Vec<u8> = words[6 + table..]
            .iter()
            .flat_map(|word| word.to_ne_bytes())
            .take(key)
            .collect();
        (function & TOEPLITZ != 0 && !bytes.is_empty()).then(|| repeats(&bytes))
    }
}

/// A key of one 16-bit pattern again and again hashes both directions alike (Woo, Park 2012).
fn repeats(key: &[u8]) -> bool {
    key.chunks(2).all(|pair| pair == &key[..pair.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_repeat_are_symmetric() {
        assert!(repeats(&[0x6d, 0x5a].repeat(20)));
        let mut key = [0x6d, 0x5a].repeat(20);
        key[17] = 0;
        assert!(!repeats(&key));
    }

    #[test]
    fn the_loopback_says_what_it_is() {
        let loopback = Interface::open("lo").unwrap();
        assert!(loopback.mtu().unwrap() >= 1280);
        assert!(Interface::open("no-such-one").unwrap().mtu().is_err());
    }
}
