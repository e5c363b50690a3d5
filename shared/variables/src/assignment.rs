//! Values that a user gives on the command line, above all that the workflow says.

/// A value from outside the workflow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// `^[A-Z_][A-Z0-9_]*$`.
    pub name: String,
    /// Its text; references in it are expanded like those of the workflow.
    pub value: String,
    /// Where it was given, for messages: `--var`, or `FILE:LINE`.
    pub from: String,
}

/// Why `K=V` is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssignmentError {
    /// There is no `=`.
    #[error("expected NAME=VALUE; write `{0}=` to set it to nothing")]
    NoValue(String),
    /// The name is not one of a variable.
    #[error("variable name `{0}` must match ^[A-Z_][A-Z0-9_]*$")]
    Name(String),
    /// The system could not hand the value to a process.
    #[error("variable `{0}` is longer than {max} bytes", max = crate::MAX_VALUE)]
    Long(String),
    /// The system ends values there.
    #[error("variable `{0}` holds a NUL character")]
    Nul(String),
}

/// `--var K=V`.
///
/// # Errors
/// No `=`, a bad name, a value that is too long.
pub fn assignment(text: &str) -> Result<Override, AssignmentError> {
    let (name, value) =
        text.split_once('=').ok_or_else(|| AssignmentError::NoValue(text.to_owned()))?;
    checked(name, value, "--var".to_owned())
}

pub(crate) fn checked(name: &str, value: &str, from: String) -> Result<Override, AssignmentError> {
    if !is_name(name) {
        return Err(AssignmentError::Name(name.to_owned()));
    }
    if value.len() > crate::MAX_VALUE {
        return Err(AssignmentError::Long(name.to_owned()));
    }
    if value.contains('\0') {
        return Err(AssignmentError::Nul(name.to_owned()));
    }
    Ok(Override { name: name.to_owned(), value: value.to_owned(), from })
}

/// Whether a text is a variable's name: `^[A-Z_][A-Z0-9_]*$`.
pub fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_uppercase() || c == '_')
        && text.bytes().all(|b| matches!(b, b'A'..=b'Z' | b'0'..=b'9' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_is_all_after_the_first_sign() {
        let given = assignment("A=b=c d").unwrap();
        assert_eq!((&*given.name, &*given.value, &*given.from), ("A", "b=c d", "--var"));
        assert_eq!(assignment("_=").unwrap().value, "");
    }

    #[test]
    fn what_is_no_assignment_says_why() {
        let error = |text: &str| assignment(text).unwrap_err().to_string();
        assert_eq!(error("A"), "expected NAME=VALUE; write `A=` to set it to nothing");
        for name in ["a", "1A", "", "A-B", "É"] {
            assert!(error(&format!("{name}=x")).contains("must match"), "{name}");
        }
        assert!(error("A=\0").contains("NUL"));
        assert!(error(&format!("A={}", "x".repeat(crate::MAX_VALUE + 1))).contains("longer"));
    }
}
