//! The command line of the load harness.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
