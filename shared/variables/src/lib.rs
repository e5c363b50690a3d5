//! Variables of jobs: predefined ones, layers above what the graph holds, expansion. No I/O.
//!
//! The graph has every layer up to the matrix folded into one value for each name. Above it lie, from
//! the lowest: `rules[].variables`, the files of `--env-file`, `--var`. The grammar of references is
//! that of [`libloom_contract::variables`].

#![warn(missing_docs)]

mod assignment;
mod circle;
mod dotenv;
mod environment;
mod expand;
mod handed;
mod layer;
mod predefined;
mod prelude;

pub use assignment::{AssignmentError, Override, assignment, is_name};
pub use circle::circles;
pub use dotenv::{DotenvError, dotenv};
pub use environment::{GIT_LOCATION, JobEnvironment, job_environment};
pub use expand::expanded;
pub use handed::Handed;
pub use layer::{fold, put};
pub use predefined::Predefined;
pub use prelude::{Prelude, quoted};

/// Longest value; the system takes no longer one (`MAX_ARG_STRLEN`).
pub const MAX_VALUE: usize = 128 << 10;
