//! The commands on trees that are written through the types of the contract.

mod prune;
mod reading;
mod repository;
