//! A panic is a bug in Loom: say so and end with 70, in whichever thread it happens.
//!
//! Release builds abort on panic, which would end with SIGABRT; ending the process from the hook
//! makes debug and release builds, and all threads, behave alike.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::PanicHookInfo;

use libloom_console::{ColorChoice, ColorHints, Console, Verbosity};
use libloom_contract::exit;

/// What to do about a bug.
pub(crate) const HINT: &str = "please report it, with the command line and the text above";

pub(crate) fn report_as_bugs() {
    std::panic::set_hook(Box::new(|info| {
        let console = Console::new(Verbosity::Normal, ColorChoice::Never, ColorHints::default());
        console.clear_abandoned_lines();
        console.error(description(info));
        // Captured only where RUST_BACKTRACE asks for it.
        let backtrace = Backtrace::capture();
        if backtrace.status() == BacktraceStatus::Captured {
            console.line(backtrace);
        }
        console.hint(HINT);
        end();
    }));
}

fn description(info: &PanicHookInfo<'_>) -> String {
    let payload = info.payload();
    let formatted = payload.downcast_ref::<String>().map(String::as_str);
    let what = formatted.or(payload.downcast_ref().copied()).unwrap_or("no message");
    let place = info.location().map(|place| format!(" ({place})")).unwrap_or_default();
    format!("this is a bug in loom: {what}{place}")
}

#[expect(clippy::exit, clippy::disallowed_methods, reason = "release builds abort on panic")]
fn end() -> ! {
    std::process::exit(exit::BUG.into())
}
