//! Tests of the model from outside, in one program: one link instead of five.

mod artifact;
mod benchmarks;
mod ensemble;
mod merge;
mod npz;
mod paths;
mod support;
mod times;
mod whole;
