//! Captures of an invented network.

use std::{
    fs::File,
    io::BufWriter,
    path::{Path, PathBuf},
};

use sensor::capture::{
    link::LinkType,
    pcap_writer::{PcapWriter, Resolution},
};

/// A host of the network 10.0.0.0/16, or of the documentation network 198.51.100.0/24 from 1000 on.
pub(crate) fn address(host: u16) -> [u8; 4] {
    if host >= 1000 {
        [198, 51, 100, (host - 1000) as u8]
    } else {
        [10, 0, (host >> 8) as u8, host as u8]
    }
}

/// Packets of an invented network.
#[derive(Default)]
pub(crate) struct Scene {
    packets: Vec<(u64, Vec<u8>)>,
}

const SYN: u8 = 2;
const ACK: u8 = 16;
const PUSH_ACK: u8 = 24;
const FIN_ACK: u8 = 17;
const RST_ACK: u8 = 20;
const MILLISECOND: u64 = 1_000_000;
/// 2026-01-05T08:00:00Z, a Monday.
const BEGIN: u64 = 1_767_600_000_000_000_000;

impl Scene {
    fn tcp(&mut self, time: u64, from: (u16, u16), to: (u16, u16), flags: u8, payload: usize) {
        let total = 40 + payload as u16;
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0];
        frame.extend(total.to_be_bytes());
        frame.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
        frame.extend(address(from.0));
        frame.extend(address(to.0));
        frame.extend(from.1.to_be_bytes());
        frame.extend(to.1.to_be_bytes());
        frame.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        frame.resize(14 + usize::from(total), 0x61);
        self.frame(time, frame);
    }

    /// A frame, so many nanoseconds after the beginning.
    pub(crate) fn frame(&mut self, time: u64, frame: Vec<u8>) {
        self.packets.push((BEGIN + time, frame));
    }

    /// A TCP conversation: handshake, so many bytes each way, goodbye.
    pub(crate) fn talk(
        &mut self,
        ms: u64,
        from: (u16, u16),
        to: (u16, u16),
        sent: usize,
        fetched: usize,
    ) {
        let mut time = ms * MILLISECOND;
        let mut tick = || {
            time += 300_000;
            time
        };
        self.tcp(tick(), from, to, SYN, 0);
        self.tcp(tick(), to, from, SYN | ACK, 0);
        self.tcp(tick(), from, to, ACK, 0);
        for (from, to, bytes) in [(from, to, sent), (to, from, fetched)] {
            let mut left = bytes;
            while left > 0 {
                let payload = left.min(1400);
                self.tcp(tick(), from, to, PUSH_ACK, payload);
                left -= payload;
            }
        }
        self.tcp(tick(), from, to, FIN_ACK, 0);
        self.tcp(tick(), to, from, FIN_ACK, 0);
        self.tcp(tick(), from, to, ACK, 0);
    }

    /// A probe of a closed port.
    fn probe(&mut self, ms: u64, from: (u16, u16), to: (u16, u16)) {
        self.tcp(ms * MILLISECOND, from, to, SYN, 0);
        self.tcp(ms * MILLISECOND + 50_000, to, from, RST_ACK, 0);
    }

    /// Twelve clients that fetch pages of varying size from three servers, now and then, for three minutes.
    pub(crate) fn office() -> Self {
        let mut scene = Self::default();
        let mut state = 7_u64;
        let mut random = |below: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) % below
        };
        for visit in 0..700_u64 {
            let client = (10 + random(12)) as u16;
            let server = (1 + random(3)) as u16;
            let port = (32_768 + visit) as u16;
            let (sent, fetched) = (200 + random(600), 500 + random(9_000));
            scene.talk(
                visit * 257 + random(200),
                (client, port),
                (server, 443),
                sent as usize,
                fetched as usize,
            );
        }
        scene
    }

    /// The office under attack: a port scan, password guessing and an upload.
    pub(crate) fn busy() -> Self {
        let mut scene = Self::office();
        scene.scan();
        scene.guesses();
        scene.upload();
        scene
    }

    /// One host tries 200 ports of another.
    fn scan(&mut self) {
        for port in 0..200 {
            self.probe(60_000 + u64::from(port) * 20, (99, 50_000), (1, 1 + port));
        }
    }

    /// Somebody outside logs in sixty times.
    fn guesses(&mut self) {
        for guess in 0..60 {
            let ms = 100_000 + u64::from(guess) * 250;
            self.talk(ms, (1023, 40_000 + guess), (2, 22), 1_900, 2_300);
        }
    }

    /// A client sends three megabytes out.
    fn upload(&mut self) {
        for part in 0..2_200 {
            let ms = 20_000 + part * 40;
            let flags = if part == 0 { SYN } else { PUSH_ACK };
            let payload = if part == 0 { 0 } else { 1400 };
            self.tcp(ms * MILLISECOND, (15, 60_000), (1077, 443), flags, payload);
            if part % 10 == 0 {
                let flags = if part == 0 { SYN | ACK } else { ACK };
                self.tcp(ms * MILLISECOND + 1000, (1077, 443), (15, 60_000), flags, 0);
            }
        }
    }

    /// Writes the scene, in order of time, and answers the file.
    pub(crate) fn write(mut self, folder: &Path, name: &str) -> PathBuf {
        self.packets.sort_by_key(|(time, _)| *time);
        let path = folder.join(name);
        let file = BufWriter::new(File::create(&path).expect("capture"));
        let mut writer =
            PcapWriter::new(file, LinkType::ETHERNET, Resolution::Nanoseconds).expect("header");
        for (time, frame) in &self.packets {
            writer
                .write(*time, frame.len() as u32, frame)
                .expect("frame");
        }
        writer.finish().expect("capture");
        path
    }
}
