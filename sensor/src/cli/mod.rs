//! The command line.

/// Runs the program; never panics on bad input.
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
