//! The dispatcher: finding, listing, suggesting, starting.
