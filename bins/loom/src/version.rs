//! What `loom version` and `loom --version` say.

use libloom_contract::version;

/// This package's version; also the value of `LOOM_VERSION`.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Version and commit on the first line, then one contract format a line.
pub(crate) fn text() -> String {
    let mut text = match option_env!("LOOM_BUILD_COMMIT") {
        Some(commit) => format!("{VERSION} ({commit})"),
        None => VERSION.to_owned(),
    };
    for (name, format) in version::ALL {
        text.push_str(&format!("\n{name}: {format}"));
    }
    text
}
