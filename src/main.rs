//! cmdr: see the library.

fn main() -> std::process::ExitCode {
    cmdr::run()
}
