fn main() -> std::process::ExitCode {
    libloom_entry::main(loom_snapshot::run)
}
