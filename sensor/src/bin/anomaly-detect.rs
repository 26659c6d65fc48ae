//! The command line program: see `anomaly-detect --help`.

fn main() -> std::process::ExitCode {
    sensor::cli::main()
}
