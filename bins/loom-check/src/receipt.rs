//! The receipt of a check.

use libloom_contract::layout::Layout;
use libloom_contract::receipt::{CheckReceipt, SchemaVerdict};
use libloom_contract::{Document as _, Status, Timestamp, exit, store, version};
use libloom_entry::{Context, Failure, OrFail as _};
use libloom_workflow::{Compiled, Located};

/// Writes the receipt and answers its absolute path.
pub(crate) fn write(
    context: &Context,
    located: &Located,
    compiled: &Compiled,
    passed: bool,
) -> Result<String, Failure> {
    let layout = Layout::of_repository(&located.root);
    let file = layout.check_receipt(&Timestamp::now().compact(), std::process::id());
    let hint = "make the repository's `.loom` folder writable";
    layout
        .create()
        .or_could_not(format_args!("cannot make `{}`", layout.runtime().display()))
        .and_then(|()| {
            store::write(&file, &receipt(context, located, compiled, passed))
                .or_could_not("cannot write the receipt")
        })
        .map_err(|failure| failure.hint(hint))?;
    Ok(file.display().to_string())
}

fn receipt(
    context: &Context,
    located: &Located,
    compiled: &Compiled,
    passed: bool,
) -> CheckReceipt {
    CheckReceipt {
        schema_version: version::RECEIPT.to_string(),
        kind: CheckReceipt::KIND.to_owned(),
        loom_version: env!("CARGO_PKG_VERSION").to_owned(),
        command: context.argv.iter().map(|word| word.to_string_lossy().into_owned()).collect(),
        exit_code: if passed { exit::DONE } else { exit::NO }.into(),
        status: if passed { Status::Success } else { Status::Failure },
        workflow_schema_v1: SchemaVerdict {
            workflow_path: located.file.display().to_string(),
            valid: compiled.is_valid(),
            errors: compiled.errors().cloned().collect(),
            warnings: compiled.warnings().cloned().collect(),
        },
    }
}
