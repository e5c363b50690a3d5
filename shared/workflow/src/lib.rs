//! YAML text to checked workflow to graph.
