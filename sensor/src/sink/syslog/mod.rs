//! Syslog: RFC 5424 with structured data, over UDP (RFC 5426), TCP (RFC 6587, octet counting) and TLS (RFC 5425).

mod message;
mod stream;
mod udp;

pub use self::{
    message::{Format, Syslog, hostname},
    stream::ToStream,
    udp::ToUdp,
};
