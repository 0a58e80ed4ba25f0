//! The `fleetbeat` binary.

fn main() -> std::process::ExitCode {
    fleetbeat::cli::run()
}
