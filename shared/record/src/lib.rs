//! The logs tree of a run: write it, read it, complete it.
