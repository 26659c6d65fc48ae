//! Bounded reads from a frame, written so that the BPF verifier can follow them.
