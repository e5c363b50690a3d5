//! Records the graph where other commands find it by its digest.

use std::path::Path;

use libloom_console::Console;
use libloom_contract::graph::Graph;
use libloom_contract::layout::Layout;
use libloom_contract::store;

/// Writes the graph document; that it cannot be written is no error, for reading needs no more
/// than the right to read.
pub(crate) fn record(root: &Path, graph: &Graph, console: &Console) {
    let layout = Layout::of_repository(root);
    let file = layout.graph(&graph.digest);
    if let Err(error) = layout.create() {
        console.detail(format_args!("not recorded: cannot make the runtime directory: {error}"));
    } else if let Err(error) = store::write(&file, graph) {
        console.detail(format_args!("not recorded: {error}"));
    }
}
