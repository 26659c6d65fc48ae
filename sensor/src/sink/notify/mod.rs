//! What the sinks that tell people have in common: which alerts they tell, in which words, whom they trust, and how
//! they come by secrets.

mod gate;
mod notice;
mod roots;
mod secret;
mod sensor;

pub use self::{
    gate::Gate,
    notice::{Fact, Notice, clip, line},
    roots::{Roots, RootsError, hinted},
    secret::{SecretError, secret},
    sensor::{plain, sensor},
};

#[cfg(test)]
pub(in crate::sink) use self::notice::tests;
